# Short names for what a developer runs. Each is one command: without `just`, type the command.

# Lists the recipes.
default:
    @just --list

# Every check, as CI runs it, or parts of it: [quick|--list|PART...].
test *parts:
    ./scripts/test {{parts}}

# Several devices, gateway, broker and subscriber in one command.
demo *arguments:
    cargo run --release --package vitalwire -- demo {{arguments}}

# Measures Vitalwire beside mosquitto: [all|cpu|storm|memory|latency|identify|handshakes|reconnect|tls-memory|tls-cpu|wire|readers|absent|return|history|beats|dashboard] [--quick] [--write].
bench *arguments:
    cargo run --release --package vitalwire-bench -- {{arguments}}

# Shows in about a minute that the benches still run.
quick:
    cargo run --release --package vitalwire-bench -- all --quick

# Runs every fuzz target for this many seconds.
fuzz seconds="60":
    ./fuzz/run {{seconds}}

# Fault tests at full length: a hundred kills, power cuts, a backlog of 100,000 readings, a thousand cut connections.
faults:
    VITALWIRE_FAULTS=full JOURNAL_KILLS=100 JOURNAL_POWER_CUTS=40 \
        cargo test --workspace --test faults --test kill --test journal -- --nocapture

# Runs the firmware without hardware: emulated Pico, modem and sensors, live in the terminal. [--help teaches]
emulate *arguments:
    npm ci --prefix firmware/emulator --no-audit --no-fund --silent
    npm run --prefix firmware/emulator --silent emulate -- {{arguments}}
