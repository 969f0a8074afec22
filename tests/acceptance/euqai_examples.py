"""The examples of Euqai's document, as they stand there."""

from typing import Any

#: What is replaced in them, beside the key.
BASE = "https://api.euqai.eu/v1"

CURL = r"""curl https://api.euqai.eu/v1/chat/completions \
  -H "Authorization: Bearer $EUQAI_API_KEY" \
  -H "Content-Type: application/json" \
  -d '{
    "model": "euqai-fusion-v1",
    "messages": [
      {
        "role": "user",
        "content": "What is the capital of France?"
      }
    ]
  }'"""

CURL_JSON = r"""curl https://api.euqai.eu/v1/chat/completions \
  -H "Authorization: Bearer $EUQAI_API_KEY" \
  -H "Content-Type: application/json" \
  -d '{
    "model": "euqai-fusion-v1",
    "messages": [
      {
        "role": "user",
        "content": "Create a JSON object for a user with name, email, and id."
      }
    ],
    "response_format": { "type": "json_object" }
  }'"""

PYTHON = r"""import os
import requests

api_key = os.getenv("EUQAI_API_KEY")
if not api_key:
    raise ValueError("EUQAI_API_KEY environment variable not set")

headers = {
    "Authorization": f"Bearer {api_key}",
    "Content-Type": "application/json",
}

data = {
    "model": "euqai-fusion-v1",
    "messages": [
        {"role": "user", "content": "Explain quantum computing in one sentence."}
    ],
}

response = requests.post(
    "https://api.euqai.eu/v1/chat/completions",
    headers=headers,
    json=data
)

if response.status_code == 200:
    print(response.json())
else:
    print(f"Error: {response.status_code}")
    print(response.text)
"""

NODE = r"""const axios = require('axios');
require('dotenv').config();

const apiKey = process.env.EUQAI_API_KEY;
if (!apiKey) {
    throw new Error("EUQAI_API_KEY environment variable not set");
}

const url = 'https://api.euqai.eu/v1/chat/completions';

const headers = {
    'Authorization': `Bearer ${apiKey}`,
    'Content-Type': 'application/json'
};

const data = {
    model: 'euqai-fusion-v1',
    messages: [
        { role: 'user', content: 'Write a short poem about Eindhoven.' }
    ]
};

async function main() {
    try {
        const response = await axios.post(url, data, { headers });
        console.log(JSON.stringify(response.data, null, 2));
    } catch (error) {
        console.error(`Error: ${error.response.status}`);
        console.error(error.response.data);
    }
}

main();
"""

#: As much of the two packages that it asks for as it uses, by Node's own `fetch`.
NODE_MODULES = {
    "axios": """exports.post = async (url, data, { headers }) => {
  const answer = await fetch(url, { method: 'POST', headers, body: JSON.stringify(data) });
  const response = { status: answer.status, data: await answer.json() };
  if (!answer.ok) throw { response };
  return response;
};""",
    "dotenv": "exports.config = () => ({});",
}

PYTHON_STREAM = r"""import os
import requests
import json

api_key = os.getenv("EUQAI_API_KEY")
headers = {"Authorization": f"Bearer {api_key}", "Content-Type": "application/json"}
data = {
    "model": "euqai-fusion-v1",
    "messages": [{"role": "user", "content": "Tell me a short story about a robot who discovers music."}],
    "stream": True,
}

with requests.post("https://api.euqai.eu/v1/chat/completions", headers=headers, json=data, stream=True) as response:
    if response.status_code == 200:
        for line in response.iter_lines():
            if line:
                decoded_line = line.decode('utf-8')
                if decoded_line.startswith('data: '):
                    data_str = decoded_line[6:]
                    if data_str.strip() == '[DONE]':
                        print("\n\nStream finished.")
                        break
                    try:
                        chunk = json.loads(data_str)
                        content = chunk.get("choices", [{}])[0].get("delta", {}).get("content", "")
                        print(content, end='', flush=True)
                    except json.JSONDecodeError:
                        print(f"\nCould not decode line: {data_str}")
    else:
        print(f"Error: {response.status_code}")
        print(response.text)
"""

ANALYSIS = r"""import os
import requests
import base64

# Function to encode the image
def encode_image(image_path):
  with open(image_path, "rb") as image_file:
    return base64.b64encode(image_file.read()).decode('utf-8')

image_path = "path/to/your/image.jpg"
base64_image = encode_image(image_path)

api_key = os.getenv("EUQAI_API_KEY")
headers = {"Authorization": f"Bearer {api_key}", "Content-Type": "application/json"}

data = {
    "model": "euqai-fusion-v1",
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is in this image?"},
                {
                    "type": "image_url",
                    "image_url": {
                        "url": f"data:image/jpeg;base64,{base64_image}"
                    }
                }
            ]
        }
    ]
}

response = requests.post("https://api.euqai.eu/v1/chat/completions", headers=headers, json=data)
print(response.json())
"""

TEXT_RESPONSE: dict[str, Any] = {
    "id": "chatcmpl-a1b2c3d4...",
    "object": "chat.completion",
    "created": 1715880000,
    "model": "euqai-fusion-v1",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "The capital of France is Paris."},
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 1200, "completion_tokens": 10, "total_tokens": 1210},
    #: Of a request with an image: input_image_tokens 1049 as well.
    "usage_details": {"text_prompt_tokens": 151, "text_completion_tokens": 10},
}

IMAGE_RESPONSE: dict[str, Any] = {
    "created": 1715881000,
    "data": [
        {
            "b64_json": "iVBORw0KGgo...",
            "revised_prompt": "A highly detailed, photorealistic image of a vintage typewriter...",
        }
    ],
    "usage": {"prompt_tokens": 125, "completion_tokens": 10486, "total_tokens": 10611},
    "usage_details": {"text_prompt_tokens": 125, "text_completion_tokens": 0, "output_image_tokens": 10486},
}

ERROR: dict[str, Any] = {
    "error": {
        "code": "INTERNAL_SERVER_ERROR",
        "message": "An internal error occurred while processing your request. Our team has been notified.",
    }
}
