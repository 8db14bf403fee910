#!/bin/sh
# `make bench-peers`: brings the job that Millrace replaces (Spark 3.5 and PostgreSQL's JDBC driver) into .toolchain/peers, and says
# what it cannot bring. Nothing outside the checkout changes; `make clean` removes it.
set -eu

SPARK=3.5.7
DRIVER=42.7.4
DRIVER_SHA256=188976721ead8e8627eb6d8389d500dccc0c9bebd885268a3047180274a6031e
CENTRAL=${MAVEN_CENTRAL:-https://repo1.maven.org/maven2}

say() { echo "bench-peers: $*" >&2; }

peers=.toolchain/peers
jar=$peers/postgresql-$DRIVER.jar
mkdir -p "$peers"

command -v java >/dev/null || say 'Java is not on PATH (Debian: apt-get install default-jre-headless): Spark will be left out'
command -v pgloader >/dev/null || say 'pgloader is not installed (Debian: apt-get install pgloader): it will be left out'

if ! command -v python3 >/dev/null; then
  say 'Python 3 is not on PATH: Spark is left out'
  exit 0
fi
if ! python3 -m pip --version >/dev/null 2>&1; then
  say 'Python 3 has no pip (Debian: apt-get install python3-pip): Spark is left out'
  exit 0
fi

if [ "$(cat "$peers/spark" 2>/dev/null)" != "$SPARK" ]; then
  say "installing pyspark $SPARK from PyPI into $peers (some 320 MB, once)"
  rm -rf "$peers/python"
  python3 -m pip install --quiet --disable-pip-version-check --no-compile --target "$peers/python" "pyspark==$SPARK"
  echo "$SPARK" >"$peers/spark"
fi

if [ ! -f "$jar" ]; then
  say "fetching the PostgreSQL driver $DRIVER from Maven Central"
  curl --fail --silent --show-error --location --output "$jar.part" \
    "$CENTRAL/org/postgresql/postgresql/$DRIVER/postgresql-$DRIVER.jar"
  found=$(python3 -c 'import hashlib, sys; print(hashlib.sha256(open(sys.argv[1], "rb").read()).hexdigest())' "$jar.part")
  if [ "$found" != "$DRIVER_SHA256" ]; then
    rm "$jar.part"
    say "the driver that arrived has SHA-256 $found, not $DRIVER_SHA256: not used"
    exit 1
  fi
  mv "$jar.part" "$jar"
fi

say "ready: make bench ARGS=\"throughput --against copy,spark\""
