"""Types of `producer.objects` by their former place."""

from producer.objects import Attempt as Attempt
from producer.objects import ChatCompletion as ChatCompletion
from producer.objects import ChatCompletionChunk as ChatCompletionChunk
from producer.objects import Choice as Choice
from producer.objects import ChunkChoice as ChunkChoice
from producer.objects import CompletionDetails as CompletionDetails
from producer.objects import Embedding as Embedding
from producer.objects import Embeddings as Embeddings
from producer.objects import Images as Images
from producer.objects import ImageUsage as ImageUsage
from producer.objects import Job as Job
from producer.objects import JobError as JobError
from producer.objects import Jobs as Jobs
from producer.objects import JobUsage as JobUsage
from producer.objects import List as List
from producer.objects import Picture as Picture
from producer.objects import PromptDetails as PromptDetails
from producer.objects import Reply as Reply
from producer.objects import ServedBy as ServedBy
from producer.objects import StreamError as StreamError
from producer.objects import StreamFault as StreamFault
from producer.objects import Tokens as Tokens
from producer.objects import WantedCall as WantedCall
from producer.objects import WantedFunction as WantedFunction
