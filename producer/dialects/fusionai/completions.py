"""Routes of chat completions, embeddings and images: each waits for its job, which runs on if the client leaves."""

from starlette.requests import Request
from starlette.responses import Response

from producer import objects
from producer.dialects.fusionai.docs import EVENTS, HELLO
from producer.web.call_rows import call
from producer.web.calls import serve
from producer.web.router import Router
from producer.web.rows import header

router = Router()

_LOOKUP = {
    "name": "get_invoices",
    "description": "Fetch invoices for a customer",
    "parameters": {"type": "object", "properties": {"customerId": {"type": "string"}}},
}


@router.post(
    "/chat/completions",
    doc=call(
        "Chat",
        "ChatCompletionRequest",
        objects.ChatCompletion,
        streamed=EVENTS,
        parameters=(
            header(
                "FusionAI-Stream-Ids",
                {"type": "string"},
                "If `true` and the request has `stream: true`, each event has an `id`, which can be sent as "
                "Last-Event-ID to the stream of the job.",
            ),
        ),
        examples={
            "A question": {"model": "claude-3-opus", "messages": HELLO, "temperature": 0.7, "max_tokens": 500},
            "Tools": {
                "model": "gpt-4",
                "messages": [{"role": "user", "content": "Find my last invoice."}],
                "tools": [{"type": "function", "function": _LOOKUP}],
            },
            "Fallbacks": {
                "model": "claude-3-opus",
                "messages": HELLO,
                "max_tokens": 100,
                "routing": {"fallbacks": ["gpt-4", "gemini-pro"], "budget": "balanced"},
            },
            "Streaming": {
                "model": "gpt-4",
                "stream": True,
                "messages": [{"role": "user", "content": "Draft a product brief."}],
            },
        },
    ),
)
async def create_chat_completion(request: Request) -> Response:
    """Create a chat completion."""
    return await serve(request, "chat.completion", calls_back=True)


@router.post(
    "/embeddings",
    doc=call(
        "Embeddings",
        "EmbeddingsRequest",
        objects.Embeddings,
        examples={
            "Two texts": {
                "model": "text-embedding-3-large",
                "input": ["Search this knowledge base", "Summarize this document"],
            },
        },
    ),
)
async def create_embedding(request: Request) -> Response:
    """Create embeddings for one or more texts."""
    return await serve(request, "embedding", calls_back=True)


@router.post(
    "/images",
    "/images/generations",
    doc=call(
        "Images",
        "ImagesRequest",
        objects.Images,
        examples={
            "An image": {"model": "image-gen-2", "prompt": "A futuristic skyline at sunset", "size": "1024x1024"},
        },
    ),
)
async def create_image(request: Request) -> Response:
    """Generate images."""
    return await serve(request, "image", calls_back=True)
