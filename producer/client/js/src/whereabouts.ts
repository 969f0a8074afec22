// Where a client finds its server, and its key: as given, else from the environment. What cannot be is said at once, and
// never with the key: errors end up in logs.

import { OpenAIError, type ClientOptions } from 'openai';

const LOCAL_URL = 'http://127.0.0.1:8000/v1';

/** The server's address, without a slash at its end. */
export function addressOf(given: string | null | undefined): string {
  const text = (given ?? fromEnvironment('FUSIONAI_BASE_URL') ?? LOCAL_URL).trim().replace(/\/+$/, '');
  const fault = faultOf(text);
  if (fault) throw new OpenAIError(`baseURL ${fault}`);
  return text;
}

function faultOf(text: string): string | undefined {
  if (!URL.canParse(text)) return 'is not a URL';
  const { protocol, username, password, search, hash } = new URL(text);
  if (!/^https?:$/.test(protocol)) return 'must be http:// or https://, a host and a path, as https://api.example.com/v1';
  if (username || password) return 'has credentials in it: the key alone is sent, as apiKey';
  return search || hash ? 'must not have a query or a fragment' : undefined;
}

type Key = NonNullable<ClientOptions['apiKey']>;

/** The API key, or the function that gives it. */
export function keyOf(given: ClientOptions['apiKey'] | undefined): Key {
  if (typeof given === 'function') return async () => clean(await given());
  const found = given ?? fromEnvironment('FUSIONAI_API_KEY');
  if (!found) throw new OpenAIError('no API key: give `apiKey`, or set FUSIONAI_API_KEY');
  return clean(found);
}

/** The key as a header takes it: a line of a file ends in a newline. */
function clean(key: string): string {
  const text = key.trim();
  if (!/^[!-~]+$/.test(text)) throw new OpenAIError('the API key has a character in it that no key has');
  return text;
}

export function fromEnvironment(name: string): string | undefined {
  return globalThis.process?.env[name]?.trim() || undefined;
}
