//! The commands of README.md, run in their order in a fresh folder, as a new user runs them. What must differ here is listed:
//! ports, passwords, times, and what needs the network or a board. A line that is not in the list fails.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]
#![allow(dead_code, missing_docs, unreachable_pub, reason = "support is shared by several test programs")]

mod support;

use std::fs;
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use support::screen::Screen;
use vitalwire_testing::free_port;
use vitalwire_testing::mosquitto;
use vitalwire_testing::program::{Lines, Running, until, wait};

/// The paper's key file: its form, with keys of our own.
const KEYS: &str = r#"{ "id":"iot_med_dev_01", "key":"1234567890123456", "iv":"AAAAAAAAAAAAAAAA"}
{ "id":"iot_med_dev_02", "key":"6543210987654321", "iv":"BBBBBBBBBBBBBBBB"}
"#;

/// What is done with a line.
enum Step {
    /// Run to its end: it must succeed, and say this.
    Run(&'static str),
    /// Run until it says this; then Ctrl-C, which must end it well.
    Until(&'static str),
    /// The same, while a device of this name delivers values.
    Watch(&'static str, &'static str),
    /// A server, which stays for the lines that follow.
    Serve,
    /// The demonstration on a terminal, which stays for the next line.
    Demo,
    /// On a terminal, until it draws this; then `q`.
    Screen(&'static str),
    /// tcpdump, while a device of this name delivers values.
    Capture(&'static str),
    /// The same names as in this line are in the output of the line before.
    Json,
    /// What a command shows, or what is tested elsewhere.
    Leave,
}

use Step::{Capture, Demo, Json, Leave, Run, Serve, Until, Watch};

/// A line, what must differ in it here, and what is done with it.
type Line = (&'static str, &'static [(&'static str, &'static str)], Step);

/// Every line of the indented blocks without its comment, what must differ in it here, and what is done.
const LINES: &[Line] = &[
    ("cargo run --release -- demo", &[("cargo run --release --", "vitalwire")], Demo),
    // It is this test's own caller.
    ("./scripts/test", &[], Leave),
    // `scripts/test package` runs them, where a program for release is built.
    ("sudo apt install ./vitalwire_0.1.0_amd64.deb", &[], Leave),
    ("sudo -u vitalwire vitalwire user link admin --data /var/lib/vitalwire", &[], Leave),
    ("sudo -u vitalwire vitalwire user password admin --generate --data /var/lib/vitalwire", &[], Leave),
    ("tar -xf vitalwire-0.1.0-x86_64-linux.tar.gz", &[], Leave),
    ("vitalwire-0.1.0-x86_64-linux/vitalwire demo", &[], Leave),
    ("docker load --input vitalwire-0.1.0-image.tar", &[], Leave),
    ("docker run --rm -v vitalwire:/data vitalwire init --name $(hostname)", &[], Leave),
    (
        "docker run -d --read-only --cap-drop all -v vitalwire:/data -p 9998:9998 -p 8883:8883 -p 8443:8443 vitalwire",
        &[],
        Leave,
    ),
    (
        "mosquitto_sub -h 127.0.0.1 -p 1883 -u demo -P <the password it shows> -t 'Pico/#' -v",
        &[("-p 1883", "-p {DEMO_PORT}"), ("<the password it shows>", "{DEMO_PASSWORD}")],
        Until("Pico/patient_01/Physiological_Data/Temperature 3"),
    ),
    ("Pico/patient_01/Physiological_Data/Temperature 36.625", &[], Leave),
    ("Pico/patient_01/Internal_Device_Data/Temperature/MCU 27.121", &[], Leave),
    ("Pico/patient_01/Physiological_Data/Pulse_Signal 1.802", &[], Leave),
    ("…", &[], Leave),
    // The build under test is not the fast one.
    (
        "$ cargo run --release -- demo --devices 50 --seconds 10 --json",
        &[
            ("$ cargo run --release --", "vitalwire"),
            ("--devices 50 --seconds 10", "--devices 5 --seconds 2"),
        ],
        Run("\"lost\":0"),
    ),
    (
        r#"{"devices":50,"served":50,"sent":10000,"acknowledged":9800,"delivered":10000,"lost":0,"connect_ms":{"p50":…,"p99":…},"latency_ms":{"p50":…,"p99":…},"alarms":{}}"#,
        &[],
        Json,
    ),
    // Instead, the program under test is found by its name.
    ("cargo build --release && cp target/release/vitalwire /usr/local/bin/", &[], Leave),
    ("vitalwire init --data ./data && vitalwire serve --data ./data", &[], Serve),
    ("vitalwire device add desk_01 --data ./data", &[], Run("psk: ")),
    ("vitalwire device provision desk_01 --bin desk_01.bin --data ./data", &[], Run("Wrote desk_01.bin")),
    ("vitalwire simulate device --identity desk_01.bin --setup", &[], Until("page: http://127.0.0.1:")),
    (
        "vitalwire subscribe --url mqtt://admin@127.0.0.1:1883",
        &[],
        Watch("desk_01", "Pico/desk_01/Physiological_Data/Temperature 3"),
    ),
    (
        "vitalwire simulate pico --identity desk_01.bin --server 127.0.0.1:9998 --waveform ecg",
        &[],
        Step::Screen("delivers"),
    ),
    // `scripts/test firmware` builds it.
    ("firmware/build", &[], Leave),
    ("vitalwire device add bed_01 --data ./data", &[], Run("psk: ")),
    ("vitalwire device provision bed_01 --uf2 bed_01.uf2 --data ./data", &[], Run("Wrote bed_01.uf2")),
    ("vitalwire device label bed_01 --setup --svg label.svg --data ./data", &[], Run("Wrote label.svg")),
    // The folder is there from the section before.
    ("vitalwire init --data ./data", &[], Run("nothing was changed")),
    ("vitalwire device import DEVICES_KEYS.txt --data ./data", &[], Run("2 added, 0 unchanged")),
    ("vitalwire device add bed_07 --data ./data", &[], Run("psk: ")),
    ("vitalwire user add nurse --role reader --generate --data ./data", &[], Run("The password of nurse")),
    ("vitalwire serve --data ./data", &[], Serve),
    (
        "vitalwire subscribe --url mqtt://nurse@127.0.0.1:1883",
        &[],
        Watch("bed_07", "Pico/bed_07/Physiological_Data/Temperature 3"),
    ),
    // No one need be connected. There is no such session: tests/mqtt_sessions.rs has one.
    ("vitalwire mqtt sessions --data ./data", &[], Run("")),
    ("vitalwire mqtt end-session old-display --data ./data", &[], Leave),
    // `web_hooks.rs` runs them, and has someone who receives.
    ("[alarms]", &[], Leave),
    (r#"webhooks = "https://ward.example/hooks/vitalwire""#, &[], Leave),
    (r#"webhook_secret_file = "/etc/vitalwire/webhook-secret""#, &[], Leave),
    (
        "vitalwire history bed_07 --channel Temperature --last 8h --data ./data",
        &[],
        Run("Temperature of bed_07"),
    ),
    ("vitalwire patient set bed_07 --name 'Ana M.' --bed 7 --data ./data", &[], Run("")),
    ("vitalwire patient set bed_07 --new --name 'Bo K.' --data ./data", &[], Run("")),
    ("vitalwire patient show bed_07 --data ./data", &[], Run("Bo K.")),
    ("vitalwire history --stay 1 --channel Temperature --data ./data", &[], Run("Temperature of")),
    ("vitalwire patient discharge bed_07 --data ./data", &[], Run("")),
    ("vitalwire device psk bed_07 --data ./data", &[], Run("psk: ")),
    (
        "openssl s_client -connect 127.0.0.1:9998 -tls1_3 -ciphersuites TLS_AES_128_GCM_SHA256 -psk_identity <identity> -psk <psk>",
        &[("<identity>", "{IDENTITY}"), ("<psk>", "{PSK}")],
        Run("TLSv1.3, Cipher is TLS_AES_128_GCM_SHA256"),
    ),
    ("vitalwire device label bed_07 --svg bed_07.svg --data ./data", &[], Run("Wrote bed_07.svg")),
    ("vitalwire device rotate bed_07 --overlap 7d --data ./data", &[], Run("psk: ")),
    ("vitalwire device revoke bed_07 --data ./data", &[], Run("Revoked bed_07")),
    ("vitalwire device erase bed_07 --yes --data ./data", &[], Run("done at")),
    ("vitalwire master-key rotate --data ./data", &[], Run("under a new master key")),
    ("vitalwire audit verify --data ./data", &[], Run("The audit log is sound")),
    // A mosquitto here, where there is no network; the ports are those of the server that it takes the place of.
    (
        "VITALWIRE_MQTT_PASSWORD=… vitalwire serve --data ./data --mqtt-url mqtts://gateway@broker.example:8883",
        &[("mqtts://gateway@broker.example:8883", "mqtt://gateway@127.0.0.1:{BROKER_PORT}")],
        Serve,
    ),
    // Each packet goes into the file at once, and tcpdump stays who it is, so that the test knows when all is there. In this mode the
    // usual buffer holds eight packets of "any": too few for a busy machine.
    (
        "tcpdump -i any -w ward.pcap 'tcp port 9998 or tcp port 8883'",
        &[("-w", "-U --immediate-mode -B 65536 -Z root -w"), ("9998 or tcp port 8883", "{DEVICES_PORT}")],
        Capture("desk_01"),
    ),
    ("vitalwire verify-capture ward.pcap --data ./data", &[], Run("All of it was encrypted")),
    (
        "for n in $(seq 100); do vitalwire device add old_$n --protocol aes-cbc --data ./data; done > LOAD_KEYS.txt",
        &[],
        Run("Enrolled old_100"),
    ),
    (
        "vitalwire simulate fleet --keys LOAD_KEYS.txt --rate 20 --target 127.0.0.1:9998 --seconds 60",
        &[("--seconds 60", "--seconds 2")],
        Run("100 of 100"),
    ),
    (
        "for n in $(seq 100); do vitalwire device add new_$n --data ./data; done > /dev/null",
        &[],
        Run("Enrolled new_100"),
    ),
    ("vitalwire device links --file LINKS.txt --data ./data", &[], Run("Wrote LINKS.txt")),
    // Those of the other sections are enrolled, too.
    (
        "vitalwire simulate fleet --protocol tls --links LINKS.txt --target 127.0.0.1:9998 --seconds 60",
        &[("--seconds 60", "--seconds 2")],
        Run("102 of 102"),
    ),
    // Of devices that are there in this test: those of the fleets and of the desk, which are away by now.
    ("$ vitalwire alarms list --data ./data", &[("$ ", "")], Run("")),
    ("NUMBER  DEVICE  ALARM                STATE", &[], Leave),
    ("1  bed_03  ** Temp 39.3 > 38.5  for 49 s", &[], Leave),
    ("3  bed_05  ** Sensor off        for 24 s", &[], Leave),
    ("2  bed_07  *** HR 153 > 120     for 46 s, known to Ana", &[], Leave),
    ("bed_03: alarms paused, 58 s left", &[], Leave),
    ("vitalwire alarms watch --data ./data", &[], Until("Device offline")),
    (
        "vitalwire alarms ack 2 --reason 'walks' --name Ana --data ./data",
        &[("ack 2", "ack desk_01")],
        Run("desk_01"),
    ),
    (
        "vitalwire alarms pause bed_03 --for 60s --data ./data",
        &[("bed_03", "desk_01")],
        Run("are paused for 60 s"),
    ),
    (
        "vitalwire alarms limits bed_07 --rate-high 130 --delay rate-high=30s --data ./data",
        &[("bed_07", "desk_01")],
        Run("> 130 /min"),
    ),
    ("vitalwire alarms load --last 7d --data ./data", &[], Run("device-offline")),
    (
        "vitalwire alarms replay bed_07 --last 1d --delay 30s --rate-high 130 --data ./data",
        &[("bed_07", "desk_01")],
        Run("AS ASKED"),
    ),
    (
        "vitalwire token add study --role reader --device bed_07 --lasts 30d --data ./data",
        &[("bed_07", "desk_01")],
        Run("vwt_"),
    ),
    ("curl -H 'Authorization: Bearer vwt_…' http://127.0.0.1:8080/api/v1/devices", &[], Leave),
    // The server of this test runs on; `serving.rs` has one that listens everywhere.
    ("vitalwire serve --data ./data --dashboard-listen 0.0.0.0:8443", &[], Leave),
    ("vitalwire user link nurse --data ./data", &[], Run("/#link=")),
    // deploy/test/readme.test.mjs runs these, with docker.
    ("deploy/build image && deploy/images", &[], Leave),
    ("cd deploy", &[], Leave),
    ("docker compose --profile single up -d", &[], Leave),
    ("docker compose logs init", &[], Leave),
    ("docker compose exec vitalwire /bin/vitalwire device add bed_07", &[], Leave),
];

/// The lines of the indented blocks without their comments, with their numbers.
fn commands(readme: &str) -> Vec<(usize, String)> {
    let indented =
        readme.lines().enumerate().filter_map(|(place, line)| Some((place + 1, line.strip_prefix("    ")?)));
    let without_comment = indented.map(|(number, line)| {
        let command = line.split_once("  #").map_or(line, |(command, _)| command);
        (number, command.trim().to_owned())
    });
    without_comment.filter(|(_, command)| !command.is_empty()).collect()
}

/// A new user's computer.
struct User {
    folder: tempfile::TempDir,
    path: String,
    devices: u16,
    mqtt: u16,
    server: Option<Background>,
    demo: Option<Screen>,
    _broker: Running,
    /// What stands for `{NAME}`.
    known: Vec<(&'static str, String)>,
    /// What the command before said.
    before: String,
    password: String,
}

/// A command that runs until it is stopped, in a process group of its own, as a shell makes one.
struct Background {
    running: Running,
    out: Lines,
}

impl Background {
    /// Ctrl-C.
    fn interrupt(&mut self) -> ExitStatus {
        let group = format!("-{}", self.running.0.id());
        assert!(Command::new("kill").args(["-INT", "--", &group]).status().unwrap().success());
        wait(&mut self.running.0)
    }

    /// Ctrl-C, which our own program ends well at.
    #[track_caller]
    fn stop(mut self) {
        let status = self.interrupt();
        assert!(status.success(), "after Ctrl-C: {status}");
    }
}

impl User {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("DEVICES_KEYS.txt"), KEYS).unwrap();
        let programs = PathBuf::from(env!("CARGO_BIN_EXE_vitalwire"));
        let path = format!("{}:{}", programs.parent().unwrap().display(), std::env::var("PATH").unwrap());
        let [broker_port, devices, mqtt] = [(); 3].map(|()| free_port());
        let known = [("{BROKER_PORT}", broker_port), ("{DEVICES_PORT}", devices)];
        Self {
            path,
            devices,
            mqtt,
            server: None,
            demo: None,
            _broker: broker(folder.path(), broker_port),
            known: known.map(|(name, port)| (name, port.to_string())).to_vec(),
            before: String::new(),
            password: String::new(),
            folder,
        }
    }

    /// A line for a shell, in this folder, with the ports of this test.
    fn shell(&self, line: &str) -> Command {
        let mut command = Command::new("sh");
        let mut line = line
            .replace("127.0.0.1:9998", &format!("127.0.0.1:{}", self.devices))
            .replace("127.0.0.1:1883", &format!("127.0.0.1:{}", self.mqtt));
        self.known.iter().for_each(|(name, text)| line = line.replace(name, text));
        assert!(!line.contains('{') || line.contains("${"), "something has no value: {line}");
        command
            .args(["-c", &line])
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", &self.path)
            .env("VITALWIRE_LISTEN", format!("127.0.0.1:{}", self.devices))
            .env("VITALWIRE_MQTT_LISTEN", format!("127.0.0.1:{}", self.mqtt))
            .env("VITALWIRE_MQTT_TLS_LISTEN", "127.0.0.1:0")
            .env("VITALWIRE_MQTT_WEBSOCKET_LISTEN", "127.0.0.1:0")
            .env("VITALWIRE_METRICS_LISTEN", "127.0.0.1:0")
            .env("VITALWIRE_MQTT_PASSWORD", &self.password)
            .stdin(Stdio::null());
        command
    }

    fn background(&self, line: &str) -> Background {
        // The shell stays, and ends with the status of the command, as at a terminal.
        let command = format!("trap : INT; exec 2>&1; {line}");
        let mut child: Child = self.shell(&command).stdout(Stdio::piped()).process_group(0).spawn().unwrap();
        let out = Lines::of(child.stdout.take().unwrap());
        Background { running: Running(child), out }
    }

    fn run(&mut self, line: &str, wanted: &str) {
        let output = self.shell(line).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, told) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{line}: {out}{told}");
        assert!(out.contains(wanted) || told.contains(wanted), "{line} did not say {wanted}: {out}{told}");
        if told.contains("The password of nurse") {
            self.password = out.trim().to_owned();
        }
        for (name, start) in [("{IDENTITY}", "identity: "), ("{PSK}", "psk: ")] {
            if let Some(value) = out.lines().find_map(|line| line.strip_prefix(start)) {
                self.known.retain(|(known, _)| *known != name);
                self.known.push((name, value.to_owned()));
            }
        }
        self.before = out;
    }

    fn until(&self, line: &str, wanted: &str) {
        let mut background = self.background(line);
        background.out.until(wanted, |line| line.contains(wanted));
        let status = background.interrupt();
        assert!(status.success() || !line.starts_with("vitalwire"), "{line} after Ctrl-C: {status}");
    }

    /// A device of this name delivers values meanwhile.
    fn watch(&self, line: &str, device: &str, wanted: &str) {
        let image = format!("{device}.watched.bin");
        let made =
            self.shell(&format!("vitalwire device provision {device} --bin {image} --data ./data")).output();
        assert!(made.unwrap().status.success());
        let values =
            self.background(&format!("vitalwire simulate device --identity {image} --server 127.0.0.1:9998"));
        self.until(line, wanted);
        values.stop();
    }

    fn capture(&self, line: &str, device: &str) {
        let mut tcpdump = self.background(line);
        tcpdump.out.until("it listens", |line| line.contains("listening on"));
        let values = self.background(&format!(
            "vitalwire simulate device --identity {device}.bin --server 127.0.0.1:9998"
        ));
        values.out.until("values are taken", |line| line.contains("takes its values"));
        values.stop();
        // Packets come in order: when this connection is in the file, so is all that came before.
        let file = self.folder.path().join("ward.pcap");
        let last = TcpStream::connect(("127.0.0.1", self.devices)).unwrap();
        let ports = [last.local_addr().unwrap().port(), self.devices].map(u16::to_be_bytes).concat();
        until("the end is captured", || {
            fs::read(&file).unwrap().windows(ports.len()).any(|window| window == ports)
        });
        tcpdump.interrupt();
    }

    fn serve(&mut self, line: &str) {
        if let Some(server) = self.server.take() {
            server.stop();
        }
        let server = self.background(line);
        let said = server.out.until("it listens", |line| line.starts_with("listening "));
        let password = said.lines().find_map(|line| line.trim().strip_prefix("password "));
        if let Some(password) = password {
            self.password = password.split_whitespace().next().unwrap().to_owned();
        }
        self.server = Some(server);
    }

    /// On a terminal that is wide enough for the command in one line.
    fn demo(&mut self, line: &str) {
        let screen = Screen::start(self.shell(line), 160, 50);
        screen.until("'Pico/#' -v");
        let drawn = screen.drawn();
        let words: Vec<&str> = drawn.split(' ').collect();
        let after = |flag: &str| {
            let place = words.windows(2).position(|pair| pair[0] == flag).unwrap();
            words[place + 1].to_owned()
        };
        self.known.extend([("{DEMO_PORT}", after("-p")), ("{DEMO_PASSWORD}", after("-P"))]);
        self.demo = Some(screen);
    }

    fn do_step(&mut self, line: &str, step: &Step) {
        match step {
            Run(wanted) => self.run(line, wanted),
            Until(wanted) => {
                self.until(line, wanted);
                if let Some(mut demo) = self.demo.take() {
                    demo.press("q");
                    assert!(demo.ended().success());
                }
            }
            Watch(device, wanted) => self.watch(line, device, wanted),
            Capture(device) => self.capture(line, device),
            Serve => self.serve(line),
            Demo => self.demo(line),
            Step::Screen(wanted) => {
                let mut screen = Screen::start(self.shell(line), 80, 24);
                screen.until(wanted);
                screen.press("q");
                assert!(screen.ended().success());
            }
            // Of a demonstration the first line is the link to the dashboard.
            Json => assert_eq!(names(line), names(self.before.lines().last().unwrap_or_default())),
            Leave => {}
        }
    }
}

/// An external broker.
fn broker(folder: &Path, port: u16) -> Running {
    let settings = folder.join("mosquitto.conf");
    fs::write(&settings, format!("listener {port} 127.0.0.1\nallow_anonymous true\n")).unwrap();
    let spawned = mosquitto::program().arg("-c").arg(&settings).stderr(Stdio::null()).spawn();
    let broker = Running(spawned.expect("mosquitto is installed (apt-get install mosquitto)"));
    until("mosquitto listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
    broker
}

/// The names of a JSON line, in their order.
fn names(json: &str) -> Vec<&str> {
    let parts: Vec<&str> = json.split('"').collect();
    parts.windows(2).filter(|pair| pair[1].starts_with(':')).map(|pair| pair[0]).collect()
}

#[test]
fn every_command_of_the_readme_runs_as_it_is_written() {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md")).unwrap();
    let commands = commands(&readme);
    for (place, (number, command)) in commands.iter().enumerate() {
        let known = LINES.get(place).map(|(line, ..)| *line);
        assert_eq!(known, Some(command.as_str()), "README.md, line {number} is not what this test knows");
    }
    assert_eq!(LINES.len(), commands.len(), "README.md has fewer lines than this test");
    let mut user = User::new();
    for ((number, command), (_, differences, step)) in commands.iter().zip(LINES) {
        println!("README.md, line {number}: {command}");
        let mut line = command.clone();
        for (from, to) in *differences {
            assert!(line.contains(from), "{command} has no {from}");
            line = line.replace(from, to);
        }
        user.do_step(&line, step);
    }
    user.server.take().unwrap().stop();
}
