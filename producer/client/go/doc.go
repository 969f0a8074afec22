// Package fusionai is the Go client of the FusionAI API. It needs the standard library alone.
//
//	client := fusionai.New(os.Getenv("FUSIONAI_API_KEY"), fusionai.WithBaseURL("http://127.0.0.1:8000/v1"))
//	answer, err := client.Chat.Create(ctx, fusionai.ChatRequest{
//		Model:    "claude-3-opus",
//		Messages: []fusionai.Message{fusionai.User("Summarize this invoice.")},
//	})
//
// # Retries never buy twice
//
// A call is sent again after 429, 5xx and a lost connection, three times, with pauses that double and are jittered; the
// server's Retry-After is waited for, and its "x-should-retry: false" obeyed. Every POST has an Idempotency-Key, which
// its retries keep ([WithIdempotencyKey] sets one of your own, which is also good after a restart): the server answers
// all of them with the same job.
//
// # Timeouts
//
// A try of a call takes 30 seconds at most ([WithTimeout]), a stream may be silent for 120 ([WithStreamTimeout]), and
// the server is told so ("Prefer: wait=28"): a job that takes longer is not lost. It goes on, and the [Error] of the
// call (status 504) has its JobID, for [JobsService.Wait]. Every call ends with its context.
//
// # Errors
//
// Every error of a call is an [Error], or that of its context; what it is, errors.Is says:
//
//	var failure *fusionai.Error
//	switch {
//	case errors.Is(err, fusionai.ErrInsufficientCredits):
//		…
//	case errors.As(err, &failure) && failure.JobID != "":
//		… // the job goes on: client.Jobs.Wait(ctx, failure.JobID)
//	}
//
// # Credits
//
// Amounts of credits are exact decimals ([Amount]), never floats.
package fusionai
