"""The entities that chats may be linked to: those that the operator imports, and those of an outside data hub."""
