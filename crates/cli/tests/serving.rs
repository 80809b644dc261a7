//! The real binary as a server and as a demonstration, on real sockets.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]
#![allow(dead_code, missing_docs, unreachable_pub, reason = "support is shared by several test programs")]

mod support;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write as _};
use std::process::Stdio;
use std::time::Duration;

use support::{Data, Serve, run, stderr, stdout, vitalwire};
use vitalwire_testing::free_port;
use vitalwire_testing::program::{Running, quick, until, wait};

const PASSWORD: &str = "a good password";

/// Devices of a fleet and the server they talk to, with a reader.
fn ward() -> (Data, Serve, std::path::PathBuf) {
    let data = Data::new();
    let line = data.must(&["device", "add", "bed_07", "--protocol", "aes-cbc"]);
    let keys = data.file("keys", &line);
    data.add_user("nurse", PASSWORD);
    let serve = Serve::start(&data.folder());
    (data, serve, keys)
}

fn fleet(serve: &Serve, keys: &std::path::Path) -> Running {
    let mut command = vitalwire();
    command.args(["simulate", "fleet", "--target", serve.address("devices"), "--keys"]).arg(keys);
    Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
}

#[test]
fn demo_without_terminal_ends_with_one_json_object() {
    let local = "127.0.0.1:0";
    let output = run(&[
        "demo",
        "--devices",
        "4",
        "--rate",
        "20",
        "--seconds",
        "2",
        "--json",
        "--listen",
        local,
        "--mqtt-listen",
        local,
        "--metrics-listen",
        local,
        "--dashboard-listen",
        local,
    ]);
    assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
    let text = stdout(&output);
    let first: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert!(first["dashboard"].as_str().unwrap().starts_with("http://127.0.0.1:"), "{first}");
    let report: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!((&report["devices"], &report["served"], &report["lost"]), (&4.into(), &4.into(), &0.into()));
    assert_eq!(report["sent"], 160);
    assert_eq!(report["delivered"], report["sent"]);
    assert!(report["connect_ms"]["p99"].as_f64().unwrap() > 0.0);
    assert!(report["latency_ms"]["p50"].as_f64().unwrap() > 0.0);
}

#[test]
fn subscriber_sees_the_eleven_topics() {
    let (_data, serve, keys) = ward();
    let _fleet = fleet(&serve, &keys);
    let mut subscriber = Running(
        vitalwire()
            .args(["subscribe", "--url", &format!("mqtt://nurse@{}", serve.address("mqtt"))])
            .env("VITALWIRE_MQTT_PASSWORD", PASSWORD)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let mut topics = BTreeSet::new();
    for line in BufReader::new(subscriber.0.stdout.take().unwrap()).lines().take(500) {
        topics.insert(line.unwrap().split(' ').next().unwrap().to_owned());
        if topics.len() == 11 {
            break;
        }
    }
    assert_eq!(topics.len(), 11, "{topics:?}");
    assert!(topics.contains("Pico/bed_07/Internal_Server/Port_address"));
}

#[test]
fn mosquitto_sub_sees_the_eleven_topics() {
    let (_data, serve, keys) = ward();
    let _fleet = fleet(&serve, &keys);
    let spawned = std::process::Command::new("mosquitto_sub")
        .args(["-h", "127.0.0.1", "-p", serve.port("mqtt"), "-u", "nurse", "-P", PASSWORD])
        .args(["-t", "Pico/#", "-v", "-C", "100"])
        .output();
    let output = spawned.expect("mosquitto_sub is installed (apt-get install mosquitto-clients)");
    let topics: BTreeSet<_> =
        stdout(&output).lines().filter_map(|line| line.split(' ').next().map(str::to_owned)).collect();
    assert_eq!(topics.len(), 11, "{topics:?} {}", stderr(&output));
}

#[test]
fn wrong_password_is_told_in_plain_words() {
    let (_data, serve, _keys) = ward();
    let refused = vitalwire()
        .args(["subscribe", "--url", &format!("mqtt://nurse@{}", serve.address("mqtt"))])
        .env("VITALWIRE_MQTT_PASSWORD", "a wrong password")
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("refuses the login of nurse"), "{}", stderr(&refused));
}

#[test]
fn password_in_a_url_is_refused_and_not_repeated() {
    let data = Data::new();
    let url = "mqtts://nurse:geheim@127.0.0.1";
    for arguments in [&["subscribe", "--url", url][..], &["serve", "--data", data.path(), "--mqtt-url", url]]
    {
        let refused = run(arguments);
        assert_eq!(refused.status.code(), Some(1));
        let message = stderr(&refused);
        assert!(message.contains("process list") && !message.contains("geheim"), "{message}");
    }
}

#[test]
fn subscriber_comes_back_after_the_server_was_away() {
    let (data, serve, keys) = ward();
    drop(serve);
    // A port that no one takes while the server is away.
    let mqtt = format!("127.0.0.1:{}", free_port());
    let serve = Serve::start_at(&data.folder(), &mqtt);
    let _fleet = fleet(&serve, &keys);
    let mut subscriber = Running(
        vitalwire()
            .args([
                "subscribe",
                "--url",
                &format!("mqtt://nurse@{mqtt}"),
                "--filter",
                "vitalwire/v1/+/status",
            ])
            .env("VITALWIRE_MQTT_PASSWORD", PASSWORD)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let mut lines = BufReader::new(subscriber.0.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "vitalwire/v1/bed_07/status online");
    assert!(serve.terminate().1.success());
    // The devices' port is another, so these are other devices.
    let again = Serve::start_at(&data.folder(), &mqtt);
    let _fleet = fleet(&again, &keys);
    let mut offline = 0;
    while lines.next().unwrap().unwrap() != "vitalwire/v1/bed_07/status online" {
        offline += 1;
    }
    assert!(offline > 0, "it was offline meanwhile");
}

#[test]
fn external_broker_carries_the_readings() {
    let free = std::net::SocketAddr::from(([127, 0, 0, 1], free_port()));
    let data = Data::new();
    let keys = data.file("keys", &data.must(&["device", "add", "bed_07", "--protocol", "aes-cbc"]));
    let settings =
        data.file("mosquitto.conf", &format!("listener {} 127.0.0.1\nallow_anonymous true\n", free.port()));
    let program = if std::path::Path::new("/usr/sbin/mosquitto").exists() {
        "/usr/sbin/mosquitto"
    } else {
        "mosquitto"
    };
    let spawned = std::process::Command::new(program).arg("-c").arg(&settings).stderr(Stdio::null()).spawn();
    let mosquitto = spawned.expect("mosquitto is installed (apt-get install mosquitto)");
    let _mosquitto = Running(mosquitto);
    until("mosquitto listens", || std::net::TcpStream::connect(free).is_ok());
    let serve = Serve::start_with(&data.folder(), |command| {
        command
            .args(["--mqtt-url", &format!("mqtt://gateway@{free}")])
            .env("VITALWIRE_MQTT_PASSWORD", PASSWORD);
    });
    let _fleet = fleet(&serve, &keys);
    let mut subscriber = Running(
        vitalwire()
            .args(["subscribe", "--url", &format!("mqtt://nurse@{free}")])
            .env("VITALWIRE_MQTT_PASSWORD", PASSWORD)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let line = BufReader::new(subscriber.0.stdout.take().unwrap()).lines().next().unwrap().unwrap();
    assert!(line.starts_with("Pico/bed_07/"), "{line}");
}

#[test]
fn second_signal_ends_serve_at_once() {
    quick(Duration::from_secs(1), || {
        let (_data, serve, _keys) = ward();
        serve.signal("TERM");
        serve.signal("INT");
        serve.terminate().0
    });
}

#[test]
fn tls_works_with_the_certificate_of_init() {
    let (data, serve, keys) = ward();
    let _fleet = fleet(&serve, &keys);
    let url = format!("mqtts://nurse@localhost:{}", serve.port("mqtt_tls"));
    let certificate = data.folder().join("tls/broker-certificate.pem");
    let subscribe = |ca: Option<&std::path::Path>| {
        let mut command = vitalwire();
        command.args(["subscribe", "--url", &url]).env("VITALWIRE_MQTT_PASSWORD", PASSWORD);
        if let Some(ca) = ca {
            command.arg("--ca").arg(ca);
        }
        Running(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    };
    let mut trusting = subscribe(Some(&certificate));
    let first = BufReader::new(trusting.0.stdout.take().unwrap()).lines().next();
    assert!(first.unwrap().unwrap().starts_with("Pico/bed_07/"));

    let mut strict = subscribe(None);
    assert_eq!(wait(&mut strict.0).code(), Some(1));
    let mut reason = String::new();
    strict.0.stderr.take().unwrap().read_to_string(&mut reason).unwrap();
    assert!(reason.contains("--ca"), "{reason}");
}

#[test]
fn sigterm_ends_serve_in_order_within_two_seconds() {
    quick(Duration::from_secs(2), || {
        let (_data, serve, keys) = ward();
        let _fleet = fleet(&serve, &keys);
        until("the fleet is connected", || metrics(&serve).contains("vitalwire_devices_connected 1"));
        let (took, status) = serve.terminate();
        assert!(status.success(), "{status}");
        took
    });
}

#[test]
fn revoked_device_loses_its_live_connection_within_a_second() {
    quick(Duration::from_secs(1), || {
        let (data, serve, keys) = ward();
        let _fleet = fleet(&serve, &keys);
        until("the fleet is connected", || metrics(&serve).contains("vitalwire_devices_connected 1"));
        data.must(&["device", "revoke", "bed_07"]);
        until("the device is gone", || metrics(&serve).contains("vitalwire_devices_connected 0"))
    });
}

#[test]
fn after_a_kill_a_new_server_says_that_the_device_is_offline() {
    let (data, serve, keys) = ward();
    let fleet = fleet(&serve, &keys);
    let topic = "vitalwire/v1/bed_07/status";
    until("the status is on the disk", || holds(&data.folder().join("broker"), topic.as_bytes()));
    drop(fleet);
    serve.signal("KILL");
    drop(serve);
    let serve = Serve::start(&data.folder());
    let status = std::process::Command::new("mosquitto_sub")
        .args(["-h", "127.0.0.1", "-p", serve.port("mqtt"), "-u", "nurse", "-P", PASSWORD])
        .args(["-t", topic, "-C", "1", "-W", "20"])
        .output()
        .expect("mosquitto_sub is installed (apt-get install mosquitto-clients)");
    assert_eq!(stdout(&status).trim(), "offline", "{}", stderr(&status));
}

/// Whether a file of the folder holds these bytes.
fn holds(folder: &std::path::Path, bytes: &[u8]) -> bool {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let contents = files.filter_map(|file| std::fs::read(file.path()).ok());
    contents.into_iter().any(|content| content.windows(bytes.len()).any(|window| window == bytes))
}

#[test]
fn unsafe_settings_are_refused_before_anything_listens() {
    let data = Data::new();
    for (flag, value, reason) in [
        ("--mqtt-listen", "0.0.0.0:0", "plain MQTT"),
        ("--mqtt-websocket-listen", "[::]:0", "WebSocket"),
        ("--metrics-listen", "0.0.0.0:0", "metrics"),
        ("--dashboard-tls-cert", "none.pem", "--dashboard-tls-key is missing"),
        ("--mqtt-url", "mqtt://gateway@192.0.2.1:1883", "mqtts://"),
    ] {
        let refused = run(&["serve", "--data", data.path(), flag, value]);
        assert_eq!(refused.status.code(), Some(1), "{flag}");
        assert!(stderr(&refused).contains(reason), "{flag}: {}", stderr(&refused));
    }
}

#[test]
fn the_dashboard_leaves_this_machine_over_tls_alone() {
    let data = Data::new();
    let serve = Serve::start_with_page(&data.folder(), "0.0.0.0:0", |command| {
        command.args(["--mqtt-listen", "127.0.0.1:0"]);
    });
    let mut stream =
        std::net::TcpStream::connect(("127.0.0.1", serve.port("dashboard").parse().unwrap())).unwrap();
    let host = format!("localhost:{}", serve.port("dashboard"));
    write!(stream, "GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 308") && answer.contains(&format!("https://{host}/")), "{answer}");
    drop(serve);
    std::fs::remove_dir_all(data.folder().join("tls")).unwrap();
    let refused = run(&["serve", "--data", data.path(), "--dashboard-listen", "0.0.0.0:0"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("the dashboard on 0.0.0.0:0 would send"), "{}", stderr(&refused));
}

#[test]
fn environment_wins_over_the_file_and_flags_over_both() {
    let data = Data::new();
    // Each layer has its own unsafe value, and the refusal tells which one held.
    std::fs::write(data.folder().join("vitalwire.toml"), "[metrics]\nlisten = \"0.0.0.0:1111\"\n").unwrap();
    let refusal = |environment: Option<&str>, flag: Option<&str>| {
        let mut command = vitalwire();
        command.args(["serve", "--data", data.path()]);
        environment.map(|value| command.env("VITALWIRE_METRICS_LISTEN", value));
        flag.map(|value| command.args(["--metrics-listen", value]));
        stderr(&command.output().unwrap())
    };
    assert!(refusal(None, None).contains("0.0.0.0:1111"));
    assert!(refusal(Some("0.0.0.0:2222"), None).contains("0.0.0.0:2222"));
    assert!(refusal(Some("0.0.0.0:2222"), Some("0.0.0.0:3333")).contains("0.0.0.0:3333"));
}

#[test]
fn misspelt_key_in_the_settings_file_is_told_with_its_line() {
    let data = Data::new();
    std::fs::write(data.folder().join("vitalwire.toml"), "[mqtt]\nlisen = \"127.0.0.1:1\"\n").unwrap();
    let refused = run(&["serve", "--data", data.path()]);
    assert_eq!(refused.status.code(), Some(1));
    let message = stderr(&refused);
    assert!(message.contains("vitalwire.toml, line 2") && message.contains("`lisen`"), "{message}");
}

/// What the server counts, over HTTP.
fn metrics(serve: &Serve) -> String {
    use std::io::Write;
    let mut stream = std::net::TcpStream::connect(serve.address("metrics")).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn healthcheck_asks_the_server_of_the_same_settings_and_exits_accordingly() {
    let data = Data::new();
    let serve = Serve::start(&data.folder());
    let check = |settings: &[(&str, &str)]| {
        let output = vitalwire().arg("healthcheck").envs(settings.iter().copied()).output().unwrap();
        (output.status.code(), stdout(&output), stderr(&output))
    };
    let metrics = serve.address("metrics").to_owned();
    let settings = [("VITALWIRE_METRICS_LISTEN", metrics.as_str())];
    assert_eq!(check(&settings), (Some(0), "ready\n".to_owned(), String::new()));
    let file = data.file("site.toml", &format!("[metrics]\nlisten = \"{metrics}\"\n"));
    assert_eq!(check(&[("VITALWIRE_CONFIG", file.to_str().unwrap())]).0, Some(0));

    serve.terminate();
    let (code, _, message) = check(&settings);
    assert_eq!(code, Some(1));
    assert!(message.contains(&format!("http://{metrics}/readyz does not answer")), "{message}");
    assert!(check(&[("VITALWIRE_METRICS_LISTEN", "off")]).2.contains("--url"));
}

#[test]
fn healthcheck_says_that_the_broker_is_away() {
    let data = Data::new();
    let no_one = format!("mqtt://gateway@127.0.0.1:{}", free_port());
    let serve = Serve::start_with(&data.folder(), |command| {
        command.args(["--mqtt-url", &no_one]).env("VITALWIRE_MQTT_PASSWORD", PASSWORD);
    });
    let url = format!("http://{}/readyz", serve.address("metrics"));
    let output = run(&["healthcheck", "--url", &url]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("the MQTT broker is away"), "{}", stdout(&output));
}
