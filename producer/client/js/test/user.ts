// A user's program, checked by tsc and run as an ES module and as CommonJS; what must not compile is marked so.

import { FusionAI, FusionAIError, InsufficientCreditsError, type BatchRequest, type objects } from '@fusionai/sdk';
import OpenAI from 'openai';

const client = new FusionAI({ maxRetries: 1, streamTimeout: 60_000 });
const official: OpenAI = client; // it goes wherever OpenAI's client goes

// @ts-expect-error: no such option
new FusionAI({ retries: 3 });

async function main(): Promise<void> {
  const job: objects.Job = await client.jobs.create({
    type: 'chat.completion',
    model: 'gpt-4',
    messages: [{ role: 'user', content: 'Say this is a test.' }],
    max_tokens: 50,
    routing: { fallbacks: ['gemini-pro'], budget: 'balanced' },
    metadata: { program: 'user' },
  });
  const ended = await client.jobs.wait(job.id, { timeoutSeconds: 60 });
  const status: 'queued' | 'running' | 'succeeded' | 'failed' | 'cancelled' | 'expired' = ended.status;
  let text = '';
  for await (const chunk of client.jobs.stream(job.id)) text += chunk.choices[0]?.delta.content ?? '';
  const { response } = await client.jobs.retrieve(job.id).withResponse();
  console.log(status, text.length > 0, response.headers.get('fusionai-job-id') === job.id);

  const answer = await client.chat.completions.create({
    model: 'gpt-4',
    messages: [{ role: 'user', content: 'Say this is a test.' }],
    max_tokens: 50,
    routing: { fallbacks: ['gemini-pro'] }, // ours beside OpenAI's
  });
  const credits: number | undefined = answer.usage?.credits_used;
  const vector = await client.embeddings.create({ model: 'text-embedding-3-large', input: 'hi', metadata: { a: 'b' } });
  const picture = await client.images.generate({ model: 'image-gen-2', prompt: 'a cat', routing: { budget: 'economy' } });
  console.log(credits, vector.usage.credits_used, picture.usage?.credits_used);

  const requests: BatchRequest[] = [{ body: { model: 'gpt-4', messages: [{ role: 'user', content: 'hi' }], max_tokens: 50 } }];
  for await (const result of client.batch(requests)) console.log(result.custom_id, result.error);
  for await (const model of client.models.list()) if (model.id === 'gpt-4') console.log(model.id);

  // @ts-expect-error: no such status
  client.jobs.list.bind(client.jobs, { status: 'done' });
  const page = await client.jobs.list({ limit: 1, status: ['running', 'succeeded'] });
  const event: objects.Event | undefined = (await client.events.list({ limit: 1 })).data[0];
  console.log(page.data.length, event?.sequence, (await official.models.list()).data.length > 5);

  try {
    // @ts-expect-error: a job has a type
    await client.jobs.create({ model: 'gpt-4' });
  } catch (error) {
    if (error instanceof InsufficientCreditsError) throw error;
    if (!(error instanceof FusionAIError)) throw error;
    const said: string | undefined = error.reason ?? error.jobID;
    console.log(error.status, error.param, said, error instanceof OpenAI.BadRequestError);
  }
}

void main();
