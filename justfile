# Short names for what a developer runs. Each is one command: without `just`, type the command.

# Lists the recipes.
default:
    @just --list

# Every check, as CI runs it.
test:
    ./scripts/test

# Several devices, gateway, broker and subscriber in one command.
demo *arguments:
    cargo run --release --package vitalwire -- demo {{arguments}}

# Measures Vitalwire beside mosquitto: [all|cpu|storm|memory|latency|identify] [--quick] [--write].
bench *arguments:
    cargo run --release --package vitalwire-bench -- {{arguments}}

# Shows in less than a minute that the benches still run.
quick:
    cargo run --release --package vitalwire-bench -- all --quick

# Runs every fuzz target for this many seconds.
fuzz seconds="60":
    ./fuzz/run {{seconds}}
