"""Types of `producer.objects` by their former place."""

from producer.objects import Batch as Batch
from producer.objects import BatchProgress as BatchProgress
from producer.objects import BatchUsage as BatchUsage
from producer.objects import DeletedFile as DeletedFile
from producer.objects import DryRun as DryRun
from producer.objects import Fault as Fault
from producer.objects import Faults as Faults
from producer.objects import File as File
from producer.objects import ProviderProgress as ProviderProgress
from producer.objects import Reason as Reason
from producer.objects import RequestCounts as RequestCounts
from producer.objects import Shortage as Shortage
