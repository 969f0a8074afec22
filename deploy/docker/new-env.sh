#!/bin/sh
# Write the .env of compose.yaml beside it, with secrets of its own; one that is there is never touched.
set -eu
cd "$(dirname "$0")"
[ ! -e .env ] || {
    echo "deploy/docker/.env is there already: change it by hand; without its secrets no API key works any more" >&2
    exit 1
}
umask 077
secret() { openssl rand -hex 32; }
cat >.env <<END
# Secrets of this installation: keep them, and keep a copy elsewhere.
POSTGRES_PASSWORD=$(secret)
RABBITMQ_PASSWORD=$(secret)
REDIS_PASSWORD=$(secret)
GRAFANA_PASSWORD=$(secret)
FUSIONAI_KEY_SECRET=$(secret)
FUSIONAI_OPERATOR_PASSWORD=$(secret)
FUSIONAI_FLOWER_PASSWORD=$(secret)

# The address that customers use, and how many worker processes there are.
FUSIONAI_PUBLIC_URL=http://127.0.0.1:8000
WORKERS=1

# Keys of providers: OPENAI_API_KEY=…, ANTHROPIC_API_KEY=… (deploy/settings.md lists them); and any other setting.
END
echo "deploy/docker/.env is written: add the providers' keys"
