// What FusionAI takes and says beside OpenAI's API, in the official SDK's own types: `routing` of a request, `credits_used`
// of its usage, and so on. Types alone; they hold wherever this package is imported.

import type { ChatCompletionJob, EmbeddingJob, ImageJob, Tokens } from './api.js';

/** Of each request that becomes a job. */
type Common = 'routing' | 'callback_url' | 'on_insufficient_credits';

export type ChatExtras = Pick<
  ChatCompletionJob,
  | Common
  | 'grounding'
  | 'include_thinking'
  | 'language'
  | 'linked_context'
  | 'min_p'
  | 'repetition_penalty'
  | 'thinking'
  | 'top_k'
>;
export type EmbeddingExtras = Pick<EmbeddingJob, Common | 'metadata'>;
export type ImageExtras = Pick<ImageJob, Common | 'metadata'>;
/** What a call cost; `test`: with a test key, which costs nothing; `estimated`: the provider did not count. */
export type UsageExtras = Partial<Pick<Tokens, 'credits_used' | 'test' | 'estimated'>>;

declare module 'openai/resources/chat/completions/completions' {
  interface ChatCompletionCreateParamsBase extends ChatExtras {}
}

declare module 'openai/resources/completions' {
  interface CompletionUsage extends UsageExtras {}
}

declare module 'openai/resources/embeddings' {
  interface EmbeddingCreateParams extends EmbeddingExtras {}
  namespace CreateEmbeddingResponse {
    interface Usage extends UsageExtras {}
  }
}

declare module 'openai/resources/images' {
  interface ImageGenerateParamsBase extends ImageExtras {}
  namespace ImagesResponse {
    interface Usage extends UsageExtras {}
  }
}
