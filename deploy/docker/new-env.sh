#!/bin/sh
# Write the .env of compose.yaml beside it, with secrets of its own; one that is there is never touched.
set -eu
cd "$(dirname "$0")"
[ ! -e .env ] || {
    echo "deploy/docker/.env is there already: change it by hand; without its secrets no API key works any more" >&2
    exit 1
}
umask 077
trap 'rm -f .env.new' EXIT
# 64 hexadecimal digits, or an end: an empty secret would be believed.
secret() {
    made=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')
    [ "${#made}" = 64 ] || {
        echo "no random numbers could be had from /dev/urandom" >&2
        exit 1
    }
    echo "$1=$made"
}
{
    echo "# Secrets of this installation: keep them, and keep a copy elsewhere. Of your own: letters and digits alone,"
    echo "# since those of PostgreSQL, RabbitMQ and Redis stand in URLs, and Compose replaces what follows a \$."
    for name in POSTGRES_PASSWORD RABBITMQ_PASSWORD REDIS_PASSWORD GRAFANA_PASSWORD \
        FUSIONAI_KEY_SECRET FUSIONAI_OPERATOR_PASSWORD FUSIONAI_FLOWER_PASSWORD; do
        secret "$name"
    done
    cat <<'END'

# The address that customers use, and how many worker processes there are.
FUSIONAI_PUBLIC_URL=http://127.0.0.1:8000
WORKERS=1

# Keys of providers: OPENAI_API_KEY=…, ANTHROPIC_API_KEY=… (deploy/settings.md lists them); and any other setting.
END
} >.env.new
mv .env.new .env
# Prometheus and Grafana run as users of their own, who may have to be let read what they are given.
[ ! -d ../monitoring ] || chmod -R a+rX ../monitoring
echo "deploy/docker/.env is written: add the providers' keys"
