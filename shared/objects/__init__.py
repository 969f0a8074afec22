"""Objects of the API that workers make too: in webhook deliveries, statements and the files of batches. Pure."""
