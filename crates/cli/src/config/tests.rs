//! Facts about how the layers of settings combine and how errors in them are told.

use std::collections::BTreeSet;

use super::*;

fn no_certificate(_: &Path) -> Option<(PathBuf, PathBuf)> {
    None
}

/// The place of a setting in the table.
fn index(key: &str) -> usize {
    settings().position(|(setting, _)| setting.key == key).unwrap()
}

/// A file, and then flags on top of it.
fn layers(file: &str, flags: &[(&str, &str)]) -> Result<Layers, ConfigError> {
    let (path, mut layers) = (Path::new("vitalwire.toml"), Layers::defaults());
    layers.take_entries(file, path, file::parse(file, path)?)?;
    for (key, text) in flags {
        let (_, names) = settings().nth(index(key)).unwrap();
        layers.set(index(key), text, Origin::Flag(&names.flag), None)?;
    }
    Ok(layers)
}

/// With a data folder.
fn resolve(file: &str, flags: &[(&str, &str)]) -> Result<Settings, ConfigError> {
    layers(file, flags)?.or_data(Path::new("data")).resolve(no_certificate)
}

fn plain(settings: &Settings) -> Option<SocketAddr> {
    match &settings.broker {
        BrokerSettings::Embedded { plain, .. } => *plain,
        BrokerSettings::External { .. } => panic!("external broker"),
    }
}

#[test]
fn defaults_hold_when_no_one_says_anything() {
    let settings = resolve("", &[]).unwrap();
    assert_eq!(settings.devices, "0.0.0.0:9998".parse().unwrap());
    assert_eq!(settings.metrics, Some("127.0.0.1:9090".parse().unwrap()));
    let BrokerSettings::Embedded { plain, tls, websocket, limits } = settings.broker else {
        panic!("external")
    };
    assert_eq!(plain, Some("127.0.0.1:1883".parse().unwrap()));
    assert_eq!(websocket, Some("127.0.0.1:8083".parse().unwrap()));
    assert_eq!(tls, None);
    assert_eq!(format!("{limits:?}"), format!("{:?}", BrokerLimits::default()));
    assert_eq!(format!("{:?}", settings.limits), format!("{:?}", Limits::default()));
    assert_eq!(format!("{:?}", settings.journal), format!("{:?}", JournalLimits::default()));
}

#[test]
fn file_wins_over_defaults_and_flags_over_file() {
    let file = "[devices]\nlisten = \"127.0.0.1:7000\"\n[mqtt]\nlisten = \"127.0.0.1:7001\"\n";
    let settings = resolve(file, &[]).unwrap();
    assert_eq!(settings.devices.port(), 7000);
    assert_eq!(plain(&settings).unwrap().port(), 7001);

    let both = layers(file, &[("mqtt.listen", "127.0.0.1:8000")]).unwrap();
    let origin = |key| both.list().nth(index(key)).unwrap().3.clone();
    assert_eq!(origin("devices.listen"), Origin::File { path: "vitalwire.toml".into(), line: 2 });
    assert_eq!(origin("mqtt.listen"), Origin::Flag("mqtt-listen"));
    assert_eq!(origin("metrics.listen"), Origin::Default);
    let settings = both.or_data(Path::new("data")).resolve(no_certificate).unwrap();
    assert_eq!(settings.devices.port(), 7000);
    assert_eq!(plain(&settings).unwrap().port(), 8000);
}

#[test]
fn batches_and_journal_have_bounds() {
    let settings = resolve("[devices]\nbatch_ms = 500\n[journal]\nmax_mib = 100\n", &[]).unwrap();
    assert_eq!(settings.batch_ms, Some(500));
    assert_eq!(settings.journal.bytes_max, 100 << 20);
    assert_eq!(settings.journal.age_max, Some(std::time::Duration::from_secs(90 * 24 * 3_600)));
    for file in ["[devices]\nbatch_ms = 0\n", "[devices]\nbatch_ms = 60001\n", "[devices]\nbatch_ms = -1\n"] {
        let error = resolve(file, &[]).unwrap_err().to_string();
        assert!(error.contains("line 2") && error.contains("(ms) from 1 to 60000"), "{error}");
    }
    let error = resolve("", &[("journal.max_days", "0")]).unwrap_err().to_string();
    assert!(error.contains("--journal-max-days") && error.contains("(days) from 1"), "{error}");
}

#[test]
fn proxies_and_origins_are_none_unless_named_and_flags_win() {
    assert_eq!(resolve("", &[]).unwrap().trust, TrustSettings::default());
    let file = "[devices]\nproxies = \"10.0.0.0/8, 192.0.2.7\"\n[mqtt]\nproxies = \"192.0.2.1\"\n\
                websocket_proxies = \"127.0.0.1\"\norigins = \"https://ward.example, https://b.example\"\n";
    let trust = resolve(file, &[]).unwrap().trust;
    assert!(trust.device_proxies.contains("10.9.9.9".parse().unwrap()));
    assert!(trust.mqtt_proxies.contains("192.0.2.1".parse().unwrap()));
    assert!(trust.websocket_proxies.contains("127.0.0.1".parse().unwrap()));
    assert!(trust.origins.allow(Some("https://ward.example"), None));
    assert!(trust.origins.allow(Some("https://b.example"), None));
    let trust = resolve(file, &[("mqtt.proxies", "192.0.2.2")]).unwrap().trust;
    assert!(!trust.mqtt_proxies.contains("192.0.2.1".parse().unwrap()));
    let wrong = resolve("[mqtt]\norigins = \"ward.example\"\n", &[]).unwrap_err().to_string();
    assert!(wrong.contains("line 2") && wrong.contains("https://HOST"), "{wrong}");
}

#[test]
fn a_list_is_given_with_commas_or_by_several_flags() {
    use clap::{Args as _, FromArgMatches as _};
    let trust = |words: &[&str]| {
        let command = SettingArgs::<true>::augment_args(clap::Command::new("serve"));
        let matches = command.try_get_matches_from(words).unwrap();
        let layers = Layers::load(&SettingArgs::<true>::from_arg_matches(&matches).unwrap()).unwrap();
        layers.or_data(Path::new("data")).resolve(no_certificate).unwrap().trust
    };
    let flag = "--allow-plain-mqtt";
    let twice = trust(&["serve", flag, "172.20.0.0/16", flag, "10.0.0.1"]);
    assert_eq!(twice, trust(&["serve", flag, "172.20.0.0/16,10.0.0.1"]));
    assert_eq!(twice.plain_mqtt.to_string(), "172.20.0.0/16, 10.0.0.1");
    assert!(trust(&["serve"]).plain_mqtt.is_empty());
}

#[test]
fn off_closes_a_listener() {
    let settings = resolve("[metrics]\nlisten = \"off\"\n[mqtt]\nlisten = \"off\"\n", &[]).unwrap();
    assert_eq!(settings.metrics, None);
    assert_eq!(plain(&settings), None);
}

#[test]
fn data_folder_may_stand_in_the_file() {
    let layers = layers("data = \"/var/lib/vitalwire\"\n", &[]).unwrap();
    assert_eq!(layers.resolve(no_certificate).unwrap().data, PathBuf::from("/var/lib/vitalwire"));
    assert!(matches!(Layers::defaults().resolve(no_certificate), Err(ConfigError::NoData)));
}

#[test]
fn certificate_of_init_opens_the_tls_port() {
    let own = |data: &Path| Some((data.join("certificate.pem"), data.join("key.pem")));
    let tls_of = |flags: &[(&str, &str)]| {
        let settings = layers("", flags).unwrap().or_data(Path::new("data")).resolve(own).unwrap();
        let BrokerSettings::Embedded { tls, .. } = settings.broker else { panic!("external") };
        tls
    };
    let tls = tls_of(&[]).unwrap();
    assert_eq!(tls.address, "0.0.0.0:8883".parse().unwrap());
    assert_eq!(tls.certificate, PathBuf::from("data/certificate.pem"));
    assert_eq!(tls_of(&[("mqtt.tls_listen", "off")]), None);
}

#[test]
fn tls_port_without_certificate_is_refused() {
    let wish = resolve("", &[("mqtt.tls_listen", "0.0.0.0:8883")]);
    assert!(matches!(wish, Err(ConfigError::NoCertificate(_))));
    let half = resolve("", &[("mqtt.tls_cert", "c.pem")]);
    assert!(matches!(half, Err(ConfigError::HalfIdentity("--tls-key"))));
}

#[test]
fn external_broker_replaces_the_embedded_one() {
    let settings = resolve("[mqtt]\nurl = \"mqtts://gateway@emqx:8883\"\nca = \"/ca.pem\"\n", &[]).unwrap();
    let BrokerSettings::External { url, ca, .. } = settings.broker else { panic!("embedded") };
    assert_eq!(url.with_user(), "mqtts://gateway@emqx:8883");
    assert_eq!(ca, Some("/ca.pem".into()));
    assert!(matches!(resolve("[mqtt]\nurl = \"mqtt://localhost\"\n", &[]), Err(ConfigError::NoUser)));
}

#[test]
fn unknown_key_is_refused_with_file_line_and_known_keys() {
    let error = resolve("[mqtt]\nlisten = \"off\"\nlisen = \"127.0.0.1:1\"\n", &[]).unwrap_err();
    let message = error.to_string();
    assert!(message.starts_with("vitalwire.toml, line 3: unknown field `lisen`"), "{message}");
    assert!(message.contains("`websocket_listen`") && message.contains("remove the line"), "{message}");
    for file in ["[mqqt]\nlisten = \"off\"\n", "mqtt = 3\n", "[mqtt]\nlisten.port = 3\n", "x = 1\n"] {
        let message = resolve(file, &[]).unwrap_err().to_string();
        assert!(message.starts_with("vitalwire.toml, line "), "{message}");
    }
}

#[test]
fn bad_value_is_refused_with_its_line_and_what_to_write() {
    let message = resolve("[mqtt]\nlisten = \"1883\"\n", &[]).unwrap_err().to_string();
    assert!(message.contains("line 2") && message.contains("IP:PORT"), "{message}");
    assert!(message.contains("2 | listen = \"1883\""), "{message}");
    let message = resolve("[mqtt\n", &[]).unwrap_err().to_string();
    assert!(message.contains("line 1"), "{message}");
}

#[test]
fn a_password_in_a_url_is_refused_and_not_repeated() {
    let message = resolve("", &[("mqtt.url", "mqtts://gateway:geheim@emqx")]).unwrap_err().to_string();
    assert!(message.contains("--mqtt-url") && !message.contains("geheim"), "{message}");
}

#[test]
fn paths_in_the_file_are_relative_to_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("site.toml");
    std::fs::write(&path, "data = \"d\"\n[mqtt]\ntls_cert = \"/etc/c.pem\"\ntls_key = \"k.pem\"\n").unwrap();
    let mut layers = Layers::defaults();
    layers.take_file(&path).unwrap();
    let settings = layers.resolve(no_certificate).unwrap();
    assert_eq!(settings.data, folder.path().join("d"));
    let BrokerSettings::Embedded { tls: Some(tls), .. } = settings.broker else { panic!("no TLS") };
    assert_eq!((tls.certificate, tls.key), ("/etc/c.pem".into(), folder.path().join("k.pem")));
}

#[test]
fn missing_named_file_is_an_error_but_a_missing_default_is_not() {
    let missing = SettingArgs::<true> { config: Some("/no/such.toml".into()), given: vec![] };
    assert!(matches!(Layers::load(&missing), Err(ConfigError::Read { .. })));
    let data = args::Given { index: index("data"), text: "/no/such/folder".into(), is_flag: true };
    assert!(Layers::load(&SettingArgs::<true> { config: None, given: vec![data] }).is_ok());
}

/// Another value than the default, in the setting's unit.
fn another(setting: &Setting) -> String {
    match setting.place.show(&Values::default(), setting.unit) {
        Some(text) if setting.place.is_text() => text.replace(":", ":1"),
        Some(number) => (number.parse::<u64>().unwrap() + 1).to_string(),
        None => setting.example.to_owned(),
    }
}

#[test]
fn every_setting_can_be_set_is_shown_as_set_and_has_names_of_its_own() {
    let mut names_seen = BTreeSet::new();
    for (place, (setting, names)) in settings().enumerate() {
        let mut layers = Layers::defaults();
        let text = another(setting);
        layers.set(place, &text, Origin::Flag(&names.flag), None).unwrap();
        let (_, _, shown, origin) = layers.list().nth(place).unwrap();
        assert_eq!(shown, Some(text), "{}", setting.key);
        assert_eq!(*origin, Origin::Flag(&names.flag));
        assert!(names_seen.insert(&names.flag), "--{} twice", names.flag);
        assert!(names.variable.starts_with("VITALWIRE_") && !setting.about.ends_with('.'), "{}", setting.key);
        assert!(setting.place.show(&Values::default(), setting.unit).is_some() != setting.unset.len().gt(&0));
    }
}

/// The lines of a structure's fields.
fn fields(limits: &impl fmt::Debug) -> Vec<String> {
    format!("{limits:#?}").lines().map(str::to_owned).collect()
}

#[test]
fn every_limit_of_gateway_broker_and_journal_is_a_setting() {
    let all = |values: &Values| {
        let parts = [fields(&values.limits), fields(&values.broker), fields(&values.journal)];
        parts.concat()
    };
    let mut layers = Layers::defaults();
    for (place, (setting, names)) in settings().enumerate() {
        layers.set(place, &another(setting), Origin::Flag(&names.flag), None).unwrap();
    }
    let (before, after) = (all(&Values::default()), all(&layers.values));
    // A field that no setting reaches is as before; braces and `Some(` are no fields.
    let is_field = |line: &str| line.contains(": ") && !line.ends_with(['(', '{']);
    let left: Vec<_> =
        before.iter().zip(&after).filter(|(before, after)| before == after && is_field(before)).collect();
    assert!(left.is_empty(), "no setting reaches {left:?}: add a row in config/table");
    assert!(before.iter().filter(|line| is_field(line)).count() > 25);
}

#[test]
fn the_file_that_is_shipped_is_the_one_that_the_table_makes() {
    let made = template();
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/vitalwire.toml");
    assert_eq!(
        made,
        std::fs::read_to_string(shipped).unwrap(),
        "vitalwire config show --defaults > {shipped}"
    );
    assert!(made.lines().all(|line| line.chars().count() <= 80), "{made}");
}

#[test]
fn the_template_changes_nothing_and_every_line_of_it_is_valid_when_uncommented() {
    let template = template();
    let unchanged = layers(&template, &[]).unwrap();
    assert!(unchanged.origins.iter().all(|origin| *origin == Origin::Default));
    let uncommented: Vec<_> = template.lines().map(|line| line.strip_prefix("#: ").unwrap_or(line)).collect();
    let all = layers(&uncommented.join("\n"), &[]).unwrap();
    assert!(all.origins.iter().all(|origin| matches!(origin, Origin::File { .. })), "each setting is in it");
    for (setting, _, value, _) in all.list() {
        let default = setting.place.show(&Values::default(), setting.unit);
        assert!(default.is_none() || default == value, "{} is not its default", setting.key);
    }
}

#[test]
fn lines_are_wrapped_at_words() {
    assert_eq!(wrap("one two three", 7), ["one two", "three"]);
    assert_eq!(wrap("", 7), Vec::<String>::new());
}

#[test]
fn a_provider_needs_a_name_of_ours_and_has_defaults_for_the_rest() {
    let provider =
        |file: &str| resolve(&format!("[dashboard]\n{file}"), &[]).map(|all| all.dashboard.unwrap().sign_on);
    assert_eq!(provider("").unwrap(), None, "off by default");
    let issuer = "oidc_issuer = \"https://login.ward.example/realms/ward\"\n";
    assert!(matches!(provider(issuer), Err(ConfigError::NoClientId)));
    let least = provider(&format!("{issuer}oidc_client_id = \"vitalwire\"\n")).unwrap().unwrap();
    let config = least.with_secret().unwrap();
    assert_eq!(config.name, "https://login.ward.example/realms/ward");
    assert_eq!(config.provider.claim, "preferred_username");
    assert_eq!(config.provider.scopes, ["profile"]);
    assert!(config.provider.client_secret.is_none());
    for wrong in ["http://login.ward.example", "login.ward.example", "https://login.ward.example/?a"] {
        let error = provider(&format!("oidc_issuer = \"{wrong}\"\n")).unwrap_err().to_string();
        assert!(error.contains("line 2"), "{error}");
    }
    let missing = format!("{issuer}oidc_client_id = \"a\"\noidc_client_secret_file = \"/nowhere\"\n");
    assert!(provider(&missing).unwrap().unwrap().with_secret().is_err());
}
