"""Errors as real providers tell them: status, body, the code that is kept of it, its kind, and where it is from.

The source is a repository's issue in which it was reported, or the provider's own page of errors ("docs").
"""
# ruff: noqa: E501  a row is a line, so that the table can be read

from typing import Any

from workers.upstream.faults import Kind


def openai(message: str, type: str | None, code: str | None, param: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": type, "param": param, "code": code}}


def anthropic(type: str, message: str, error_code: str = "") -> dict[str, Any]:
    error: dict[str, Any] = {"type": type, "message": message}
    if error_code:
        error["details"] = {"error_code": error_code}
    return {"type": "error", "error": error, "request_id": "req_1"}


def google(code: int, status: str, message: str, *details: dict[str, Any]) -> list[dict[str, Any]]:
    error = {"code": code, "message": message, "status": status, "details": list(details)}
    return [{"error": error}]


def info(reason: str) -> dict[str, Any]:
    return {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "googleapis.com"}


def quota(*ids: str) -> dict[str, Any]:
    violations = [{"quotaMetric": "generativelanguage.googleapis.com/x", "quotaId": id} for id in ids]
    return {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": violations}


AZURE_FILTER = {
    "error": {
        "message": "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
        "type": None,
        "param": "prompt",
        "code": "content_filter",
        "status": 400,
        "innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result": {"hate": {"filtered": True}}},
    }
}
LONG = "This model's maximum context length is 128000 tokens. However, your messages resulted in 192041 tokens."
TGI = "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 65537. Given: 79993 `inputs` tokens"
TPM = "on tokens per min (TPM): Limit 30000, Requested 30601. The input or output tokens must be reduced"

#: (status, body, code, kind, where from)
BODIES: list[tuple[int, Any, str | None, Kind, str]] = [
    # OpenAI: platform.openai.com/docs/guides/error-codes, and as reported.
    (401, openai("Incorrect API key provided: sk-x", "invalid_request_error", "invalid_api_key"), "invalid_api_key", "key", "docs"),
    (401, openai("You must be a member of an organization to use the API", "invalid_request_error", None), "invalid_request_error", "key", "docs"),
    (401, openai("Your OpenAI account has been deactivated", "invalid_request_error", "account_deactivated"), "account_deactivated", "key", "songquanpeng/one-api#271"),
    (401, openai("Your OpenAI account has been deactivated", "requests", None), "requests", "key", "aandrew-me/tgpt#171"),
    (403, openai("Country, region, or territory not supported", "request_forbidden", "unsupported_country_region_territory"), "unsupported_country_region_territory", "key", "docs"),
    (403, openai("Project `proj_x` does not have access to model `gpt-4`", "invalid_request_error", "model_not_found"), "model_not_found", "missing", "docs"),
    (404, openai("The model `gpt-9` does not exist or you do not have access to it.", "invalid_request_error", "model_not_found"), "model_not_found", "missing", "docs"),
    (429, openai("You exceeded your current quota, please check your plan", "insufficient_quota", "insufficient_quota"), "insufficient_quota", "quota", "OpenHands/OpenHands#998"),
    (429, openai("Your account is not active", "billing_not_active", "billing_not_active"), "billing_not_active", "quota", "RamiAwar/dataline#175"),
    (400, openai("Billing hard limit has been reached", "invalid_request_error", "billing_hard_limit_reached"), "billing_hard_limit_reached", "quota", "bajrangCoder/acode-plugin-chatgpt#19"),
    (429, openai("Rate limit reached for gpt-4o in organization org-x on requests per min (RPM)", "requests", "rate_limit_exceeded"), "rate_limit_exceeded", "rate", "docs"),
    (429, openai("Rate limit reached for gpt-4 in organization org-x on tokens per min (TPM): Limit 10000, Used 8554", "tokens", "rate_limit_exceeded"), "rate_limit_exceeded", "rate", "FoundationAgents/MetaGPT#523"),
    (429, openai(f"Request too large for gpt-4o in organization org-x {TPM}", "tokens", "rate_limit_exceeded"), "request_too_large", "too_long", "DrShushen/climb#13"),
    (400, openai(LONG, "invalid_request_error", "context_length_exceeded", "messages"), "context_length_exceeded", "too_long", "assafelovic/gpt-researcher#680"),
    (400, openai("This model's maximum context length is 4097 tokens, however you requested 4130 tokens", "invalid_request_error", None), "context_length_exceeded", "too_long", "jabrena/spring-boot-user-beans#136"),
    (400, openai("Your input exceeds the context window of this model.", "invalid_request_error", None), "context_length_exceeded", "too_long", "docs"),
    (400, openai("Invalid 'messages[0].content': string too long.", "invalid_request_error", "string_above_max_length"), "string_above_max_length", "too_long", "docs"),
    (400, openai("Your request was rejected as a result of our safety system.", "invalid_request_error", "content_policy_violation"), "content_policy_violation", "content_filter", "docs"),
    (400, openai("Your request was rejected by the safety system.", "image_generation_user_error", "moderation_blocked"), "moderation_blocked", "content_filter", "docs"),
    (400, openai("Unsupported value: 'temperature'", "invalid_request_error", "unsupported_value", "temperature"), "unsupported_value", "callers", "docs"),
    (400, openai("'messages' is a required property", "invalid_request_error", None), "invalid_request_error", "callers", "docs"),
    (500, openai("The server had an error while processing your request", "server_error", None), "server_error", "broken", "docs"),
    (503, openai("The engine is currently overloaded, please try again later", "server_error", None), "server_error", "overload", "docs"),
    (503, openai("Slow down", "server_error", "slow_down"), "slow_down", "overload", "docs"),
    (429, openai("That model is currently overloaded", "engine_overloaded_error", None), "engine_overloaded_error", "overload", "docs"),
    # Azure OpenAI: learn.microsoft.com, azure/ai-services/openai.
    (400, AZURE_FILTER, "content_filter", "content_filter", "compl-ai/compl-ai#20"),
    (401, openai("Access denied due to invalid subscription key or wrong API endpoint.", None, "401"), None, "key", "docs"),
    (401, openai("Access denied due to Virtual Network/Firewall rules.", None, "AccessDenied"), "AccessDenied", "key", "docs"),
    (404, openai("The API deployment for this resource does not exist.", None, "DeploymentNotFound"), "DeploymentNotFound", "missing", "docs"),
    (400, openai("The chatCompletion operation does not work with the specified model", None, "OperationNotSupported"), "OperationNotSupported", "missing", "docs"),
    (429, openai("Requests to the ChatCompletions_Create Operation have exceeded token rate limit", None, "429"), None, "rate", "docs"),
    (429, openai("Too Many Requests", None, "RateLimitReached"), "RateLimitReached", "rate", "docs"),
    (400, {"error": {"message": f"{LONG} (100 in the messages)", "code": "context_length_exceeded"}}, "context_length_exceeded", "too_long", "Azure/azure-sdk-for-python#40986"),
    # Anthropic: docs.anthropic.com/en/api/errors, and as reported.
    (400, anthropic("invalid_request_error", "prompt is too long: 207791 tokens > 200000 maximum"), "context_length_exceeded", "too_long", "anthropics/claude-code#12186"),
    (400, anthropic("invalid_request_error", "input length and `max_tokens` exceed context limit: 178959 + 64000 > 200000"), "context_length_exceeded", "too_long", "docker/docker-agent#569"),
    (400, anthropic("invalid_request_error", "Your credit balance is too low to access the Anthropic API."), "billing_error", "quota", "anthropics/claude-code#66314"),
    (400, anthropic("invalid_request_error", "You have reached your specified API usage limits. You will regain access on 2026-04-01"), "spend_limit_exceeded", "quota", "anthropics/claude-code#38035"),
    (400, anthropic("invalid_request_error", "messages: at least one message is required"), "invalid_request_error", "callers", "docs"),
    (400, anthropic("invalid_request_error", "Output blocked by content filtering policy"), "content_filter", "content_filter", "docs"),
    (400, anthropic("invalid_request_error", "messages.1.content.0: Invalid `signature` in `thinking` block. The block is bound to a different conversation."), "invalid_thought_signature", "callers", "anomalyco/opencode#48637"),
    (401, anthropic("authentication_error", "invalid x-api-key"), "authentication_error", "key", "docs"),
    (402, anthropic("billing_error", "There's an issue with your billing"), "billing_error", "quota", "docs"),
    (403, anthropic("permission_error", "Your API key does not have permission"), "permission_error", "key", "docs"),
    (404, anthropic("not_found_error", "model: claude-9"), "not_found_error", "missing", "docs"),
    (413, anthropic("request_too_large", "Request exceeds the maximum size"), "request_too_large", "too_long", "docs"),
    (429, anthropic("rate_limit_error", "This request would exceed your account's rate limit."), "rate_limit_error", "rate", "anthropics/claude-code#71670"),
    (429, anthropic("billing_error", "spend limit"), "billing_error", "quota", "docs"),
    # platform.claude.com/docs/en/api/errors: error codes; the spend limit of a workspace.
    (429, anthropic("rate_limit_error", "The monthly limit is reached", "enforced_spend_limit_reached"), "enforced_spend_limit_reached", "quota", "docs"),
    (429, anthropic("rate_limit_error", "Usage grows too fast", "ramp_limit_exceeded"), "rate_limit_error", "rate", "docs"),
    (403, anthropic("permission_error", "This organization is disabled", "organization_on_hold"), "organization_on_hold", "key", "docs"),
    (400, anthropic("invalid_request_error", "You have reached your specified workspace API usage limits."), "spend_limit_exceeded", "quota", "docs"),
    (500, anthropic("api_error", "Internal server error"), "api_error", "broken", "docs"),
    (504, anthropic("timeout_error", "Request timed out"), "timeout_error", "unreachable", "docs"),
    (529, anthropic("overloaded_error", "Overloaded"), "overloaded_error", "overload", "docs"),
    # Google: ai.google.dev/gemini-api/docs/troubleshooting, and as reported.
    (400, google(400, "INVALID_ARGUMENT", "The input token count (1200293) exceeds the maximum number of tokens allowed (1048576)."), "context_length_exceeded", "too_long", "google-gemini/gemini-cli#6678"),
    (400, google(400, "INVALID_ARGUMENT", "API key not valid.", info("API_KEY_INVALID")), "API_KEY_INVALID", "key", "docs"),
    (400, google(400, "INVALID_ARGUMENT", "Invalid value at 'contents'"), "INVALID_ARGUMENT", "callers", "docs"),
    (400, google(400, "INVALID_ARGUMENT", "Corrupted thought signature."), "invalid_thought_signature", "callers", "decolua/9router#4136"),
    (400, google(400, "INVALID_ARGUMENT", "Unable to submit request because Thought signature is not valid."), "invalid_thought_signature", "callers", "decolua/9router#301"),
    (400, google(400, "FAILED_PRECONDITION", "User location is not supported for the API use."), "FAILED_PRECONDITION", "missing", "docs"),
    (403, google(403, "PERMISSION_DENIED", "Permission denied: Consumer 'api_key:x' has been suspended.", info("CONSUMER_SUSPENDED")), "CONSUMER_SUSPENDED", "key", "continuedev/continue#10902"),
    (403, google(403, "PERMISSION_DENIED", "This API method requires billing to be enabled.", info("BILLING_DISABLED")), "BILLING_DISABLED", "quota", "docs"),
    (403, google(403, "PERMISSION_DENIED", "The caller does not have permission"), "PERMISSION_DENIED", "key", "google-gemini/gemini-cli#25607"),
    (404, google(404, "NOT_FOUND", "models/gemini-9 is not found"), "NOT_FOUND", "missing", "docs"),
    (429, google(429, "RESOURCE_EXHAUSTED", "You exceeded your current quota", quota("GenerateRequestsPerDayPerProjectPerModel-FreeTier")), "daily_quota_exceeded", "quota", "langgenius/dify#19838"),
    (429, google(429, "RESOURCE_EXHAUSTED", "You exceeded your current quota", quota("GenerateRequestsPerMinutePerProjectPerModel")), "rate_limit_exceeded", "rate", "google-gemini/gemini-cli#8437"),
    (429, google(429, "RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check quota)."), "RESOURCE_EXHAUSTED", "rate", "googleapis/python-genai#2065"),
    (500, google(500, "INTERNAL", "An internal error has occurred."), "INTERNAL", "broken", "docs"),
    (503, google(503, "UNAVAILABLE", "The model is overloaded. Please try again later."), "UNAVAILABLE", "overload", "docs"),
    (504, google(504, "DEADLINE_EXCEEDED", "Deadline expired"), "DEADLINE_EXCEEDED", "unreachable", "docs"),
    # DeepInfra, and vLLM behind it.
    (400, {"object": "error", "message": f"{LONG} Please reduce the length of the messages.", "type": "BadRequestError", "param": None, "code": 400}, "context_length_exceeded", "too_long", "chatchat-space/Langchain-Chatchat#2600"),
    (402, {"detail": {"error": "Balance is exhausted"}}, None, "quota", "deepinfra.com/docs"),
    (401, {"detail": "Invalid API key"}, None, "key", "deepinfra.com/docs"),
    (404, {"detail": {"error": "model not available"}}, None, "missing", "deepinfra.com/docs"),
    (429, {"detail": {"error": "Model busy, retry later"}}, None, "rate", "deepinfra.com/docs"),
    # Groq: console.groq.com/docs/errors, and as reported.
    (400, openai("Please reduce the length of the messages or completion.", "invalid_request_error", "context_length_exceeded"), "context_length_exceeded", "too_long", "OpenHands/OpenHands#1902"),
    (413, openai(f"Request too large for model `x` in organization `org_x` {TPM}", "tokens", "rate_limit_exceeded"), "request_too_large", "too_long", "HunorLaczko/ha-groq-cloud-api#27"),
    (400, openai("Organization has been restricted. Please reach out to support", "invalid_request_error", "organization_restricted"), "account_deactivated", "key", "songquanpeng/one-api#271"),
    (400, openai("The model `x` has been decommissioned", "invalid_request_error", "model_decommissioned"), "model_decommissioned", "missing", "docs"),
    (498, openai("Flex tier capacity exceeded", "capacity", "capacity_exceeded"), "capacity_exceeded", "overload", "docs"),
    # Mistral: docs.mistral.ai.
    (400, {"object": "error", "message": "Prompt contains 40001 tokens and 0 draft tokens, too large for model with 32768 maximum context length", "type": "invalid_request_prompt", "param": None, "code": "3051"}, "context_length_exceeded", "too_long", "docs"),
    (400, {"object": "error", "message": "Invalid model: x", "type": "invalid_model", "param": None, "code": "1500"}, "invalid_model", "missing", "docs"),
    (422, {"detail": [{"type": "missing", "loc": ["body", "messages"], "msg": "Field required", "input": {}}]}, "missing", "callers", "docs"),
    (429, {"object": "error", "message": "Service tier capacity exceeded for this model.", "type": "service_tier_capacity_exceeded", "code": "3505"}, "service_tier_capacity_exceeded", "rate", "docs"),
    (401, {"message": "Unauthorized", "request_id": "x"}, None, "key", "docs"),
    # Together and TGI, DeepSeek, xAI, OpenRouter, gateways.
    (422, {"error": TGI, "error_type": "validation"}, "context_length_exceeded", "too_long", "bytedance/UI-TARS-desktop#626"),
    (400, openai("This model's maximum context length is 131072 tokens.", "invalid_request_error", "invalid_request_error"), "context_length_exceeded", "too_long", "evalstate/fast-agent#621"),
    (402, openai("Insufficient Balance", "unknown_error", "invalid_request_error"), "invalid_request_error", "quota", "DeepSeek's docs"),
    (400, {"code": "Client specified an invalid argument", "error": "This model's maximum prompt length is 131072 but the request contains 136973 tokens."}, "context_length_exceeded", "too_long", "cline/cline#3120"),
    (403, {"error": {"code": 403, "message": "Input flagged", "metadata": {"reasons": ["hate"], "flagged_input": "x"}}}, "content_filter", "content_filter", "OpenRouter's docs"),
    (502, "<html>Bad Gateway</html>", None, "unreachable", "nginx"),
    (521, "<html>Web server is down</html>", None, "unreachable", "Cloudflare's docs"),
    (500, "", None, "broken", "-"),
]  # fmt: skip
