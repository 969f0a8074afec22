package main

import (
	"errors"

	fusionai "github.com/fusionai/sdk-go"
)

// A name is what the table calls an error that errors.Is finds.
type name struct {
	is          error
	kind, class string
}

// names are the kinds first, then the statuses.
var names = []name{
	{fusionai.ErrWaitTimeout, "timeout", "WaitTimeoutError"},
	{fusionai.ErrTimeout, "timeout", "APITimeoutError"},
	{fusionai.ErrConnection, "connection", "APIConnectionError"},
	{fusionai.ErrStream, "stream", "StreamError"},
	{fusionai.ErrStreamCut, "stream", "StreamCutError"},
	{fusionai.ErrBatchFailed, "batch", "BatchFailedError"},
	{fusionai.ErrUnexpected, "unexpected", "UnexpectedAnswerError"},
	{fusionai.ErrBadRequest, "status", "BadRequestError"},
	{fusionai.ErrAuthentication, "status", "AuthenticationError"},
	{fusionai.ErrInsufficientCredits, "status", "InsufficientCreditsError"},
	{fusionai.ErrPermissionDenied, "status", "PermissionDeniedError"},
	{fusionai.ErrNotFound, "status", "NotFoundError"},
	{fusionai.ErrMethodNotAllowed, "status", "MethodNotAllowedError"},
	{fusionai.ErrConflict, "status", "ConflictError"},
	{fusionai.ErrPayloadTooLarge, "status", "PayloadTooLargeError"},
	{fusionai.ErrUnsupportedMediaType, "status", "UnsupportedMediaTypeError"},
	{fusionai.ErrIdempotencyMismatch, "status", "IdempotencyMismatchError"},
	{fusionai.ErrRateLimit, "status", "RateLimitError"},
	{fusionai.ErrInternalServer, "status", "InternalServerError"},
	{fusionai.ErrUpstream, "status", "UpstreamError"},
	{fusionai.ErrUnavailable, "status", "UnavailableError"},
	{fusionai.ErrGatewayTimeout, "status", "GatewayTimeoutError"},
	{fusionai.ErrStatus, "status", "APIStatusError"},
}

// describe says of an error what the table asks for.
func describe(err error) map[string]any {
	said := map[string]any{"message": err.Error(), "kind": "other"}
	var webhook *fusionai.WebhookError
	if errors.As(err, &webhook) {
		said["kind"], said["class"], said["reason"] = "webhook", "WebhookVerificationError", webhook.Reason
		return said
	}
	for _, one := range names {
		if errors.Is(err, one.is) {
			said["kind"], said["class"] = one.kind, one.class
			break
		}
	}
	var failure *fusionai.Error
	if !errors.As(err, &failure) {
		return said
	}
	if failure.Status != 0 {
		said["status"] = failure.Status
	}
	for field, value := range map[string]string{
		"type": failure.Type, "reason": failure.Reason, "param": failure.Param, "request_id": failure.RequestID,
		"job_id": failure.JobID, "last_event_id": failure.LastEventID,
	} {
		if value != "" {
			said[field] = value
		}
	}
	return said
}
