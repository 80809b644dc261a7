//! Facts about how the layers of settings combine and how errors in the file are told.

use super::*;

fn no_certificate(_: &Path) -> Option<(PathBuf, PathBuf)> {
    None
}

fn flags() -> Overrides {
    Overrides { data: Some("data".into()), ..Overrides::default() }
}

fn resolve(flags: Overrides, file: &str) -> Result<Settings, ConfigError> {
    Settings::resolve(flags, parse(file, "vitalwire.toml").unwrap(), no_certificate)
}

fn plain(settings: &Settings) -> Option<SocketAddr> {
    match &settings.broker {
        BrokerSettings::Embedded { plain, .. } => *plain,
        BrokerSettings::External { .. } => panic!("external broker"),
    }
}

#[test]
fn defaults_hold_when_no_one_says_anything() {
    let settings = resolve(flags(), "").unwrap();
    assert_eq!(settings.devices, "0.0.0.0:9998".parse().unwrap());
    assert_eq!(settings.metrics, Some("127.0.0.1:9090".parse().unwrap()));
    let websocket = Some("127.0.0.1:8083".parse().unwrap());
    let plain = Some("127.0.0.1:1883".parse().unwrap());
    assert_eq!(settings.broker, BrokerSettings::Embedded { plain, tls: None, websocket });
}

#[test]
fn file_wins_over_defaults_and_flags_over_file() {
    let file = "[devices]\nlisten = \"127.0.0.1:7000\"\n[mqtt]\nlisten = \"127.0.0.1:7001\"\n";
    let settings = resolve(flags(), file).unwrap();
    assert_eq!(settings.devices.port(), 7000);
    assert_eq!(plain(&settings).unwrap().port(), 7001);

    let flags = Overrides { mqtt_listen: Some("127.0.0.1:8000".parse().unwrap()), ..flags() };
    let settings = resolve(flags, file).unwrap();
    assert_eq!(settings.devices.port(), 7000);
    assert_eq!(plain(&settings).unwrap().port(), 8000);
}

#[test]
fn batches_and_journal_have_bounds() {
    let settings = resolve(flags(), "[devices]\nbatch_ms = 500\n[journal]\nmax_mib = 100\n").unwrap();
    assert_eq!(
        (settings.batch_ms, settings.journal.max_mib, settings.journal.max_days),
        (Some(500), 100, 90)
    );
    for file in ["[devices]\nbatch_ms = 0\n", "[devices]\nbatch_ms = 60001\n"] {
        assert!(matches!(resolve(flags(), file), Err(ConfigError::BatchLength(_))), "{file}");
    }
    let error = resolve(flags(), "[journal]\nmax_days = 0\n").unwrap_err().to_string();
    assert!(error.contains("0 days") && error.contains("--journal-max-days"), "{error}");
}

#[test]
fn off_closes_a_listener() {
    let settings = resolve(flags(), "[metrics]\nlisten = \"off\"\n[mqtt]\nlisten = \"off\"\n").unwrap();
    assert_eq!(settings.metrics, None);
    assert_eq!(plain(&settings), None);
}

#[test]
fn data_folder_may_stand_in_the_file() {
    let settings = resolve(Overrides::default(), "data = \"/var/lib/vitalwire\"\n").unwrap();
    assert_eq!(settings.data, PathBuf::from("/var/lib/vitalwire"));
    assert!(matches!(resolve(Overrides::default(), ""), Err(ConfigError::NoData)));
}

#[test]
fn certificate_of_init_opens_the_tls_port() {
    let own = |data: &Path| Some((data.join("certificate.pem"), data.join("key.pem")));
    let settings = Settings::resolve(flags(), FileSettings::default(), own).unwrap();
    let BrokerSettings::Embedded { tls: Some(tls), .. } = settings.broker else { panic!("no TLS") };
    assert_eq!(tls.address, "0.0.0.0:8883".parse().unwrap());
    assert_eq!(tls.certificate, PathBuf::from("data/certificate.pem"));

    let off = Overrides { mqtt_tls_listen: Some(Listen::Off), ..flags() };
    let settings = Settings::resolve(off, FileSettings::default(), own).unwrap();
    assert!(matches!(settings.broker, BrokerSettings::Embedded { tls: None, .. }));
}

#[test]
fn tls_port_without_certificate_is_refused() {
    let wish = Overrides { mqtt_tls_listen: Some("0.0.0.0:8883".parse().unwrap()), ..flags() };
    assert!(matches!(resolve(wish, ""), Err(ConfigError::NoCertificate(_))));
    let half = Overrides { tls_cert: Some("c.pem".into()), ..flags() };
    assert!(matches!(resolve(half, ""), Err(ConfigError::HalfIdentity("--tls-key"))));
}

#[test]
fn external_broker_replaces_the_embedded_one() {
    let settings =
        resolve(flags(), "[mqtt]\nurl = \"mqtts://gateway@emqx:8883\"\nca = \"ca.pem\"\n").unwrap();
    let BrokerSettings::External { url, ca, .. } = settings.broker else { panic!("embedded") };
    assert_eq!(url.to_string(), "mqtts://emqx:8883");
    assert_eq!(ca, Some("ca.pem".into()));
    assert!(matches!(resolve(flags(), "[mqtt]\nurl = \"mqtt://localhost\"\n"), Err(ConfigError::NoUser)));
}

#[test]
fn unknown_key_is_refused_with_file_line_and_known_keys() {
    let error = parse("[mqtt]\nlisten = \"off\"\nlisen = \"127.0.0.1:1\"\n", "vitalwire.toml").unwrap_err();
    let message = error.to_string();
    assert!(message.starts_with("vitalwire.toml, line 3: unknown field `lisen`"), "{message}");
    assert!(message.contains("`websocket_listen`") && message.contains("remove the line"), "{message}");
}

#[test]
fn bad_value_is_refused_with_its_line_and_what_to_write() {
    let message = parse("[mqtt]\nlisten = \"1883\"\n", "vitalwire.toml").unwrap_err().to_string();
    assert!(message.contains("line 2") && message.contains("IP:PORT"), "{message}");
    assert!(message.contains("2 | listen = \"1883\""), "{message}");
}

#[test]
fn paths_in_the_file_are_relative_to_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("site.toml");
    std::fs::write(&path, "data = \"d\"\n[mqtt]\nca = \"/etc/ca.pem\"\n").unwrap();
    let file = read_file(Some(&path), None).unwrap();
    assert_eq!(file.data, Some(folder.path().join("d")));
    assert_eq!(file.mqtt.ca, Some("/etc/ca.pem".into()));
}

#[test]
fn missing_named_file_is_an_error_but_a_missing_default_is_not() {
    assert!(read_file(Some(Path::new("/no/such.toml")), None).is_err());
    assert!(read_file(None, Some(Path::new("/no/such/folder"))).is_ok());
}
