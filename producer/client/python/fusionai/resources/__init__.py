"""What is this API's own, each for the synchronous client and for the asynchronous one."""
