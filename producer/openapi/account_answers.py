"""Types of `producer.objects` by their former place."""

from producer.objects import Balance as Balance
from producer.objects import Days as Days
from producer.objects import DeletedWebhook as DeletedWebhook
from producer.objects import Delivery as Delivery
from producer.objects import Event as Event
from producer.objects import Healthy as Healthy
from producer.objects import Invoice as Invoice
from producer.objects import InvoiceLine as InvoiceLine
from producer.objects import Model as Model
from producer.objects import ModelCredits as ModelCredits
from producer.objects import NewSecret as NewSecret
from producer.objects import NotReady as NotReady
from producer.objects import Price as Price
from producer.objects import Ready as Ready
from producer.objects import Spent as Spent
from producer.objects import Stopping as Stopping
from producer.objects import Subject as Subject
from producer.objects import Threshold as Threshold
from producer.objects import Thresholds as Thresholds
from producer.objects import TierPrice as TierPrice
from producer.objects import Transfer as Transfer
from producer.objects import Usage as Usage
from producer.objects import UsageRow as UsageRow
from producer.objects import Webhook as Webhook
