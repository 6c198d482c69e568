#!/bin/sh
# Plain curl: samples/curl.sh [SERVER] [OUT]
set -eu
server=${1:-http://127.0.0.1:8000}
out=${2:-curl.mp3}
curl --silent --show-error --fail-with-body "$server/v1/audio/speech" \
  --header 'Content-Type: application/json' \
  --data '{"input": "Hello from curl.", "voice": "alloy"}' \
  --output "$out" --dump-header -
echo "wrote $out"
