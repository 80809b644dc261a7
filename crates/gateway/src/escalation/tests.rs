//! Web hooks against receivers on real sockets and with real TLS, which behave as badly as receivers do.

mod receiver;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use vitalwire_testing::{PATIENCE, until};

use self::receiver::{ACCEPTED, Answer, ERROR, Receiver, Request, Vouched};
use super::message::tests::escalated;
use super::queue::Delivery;
use super::secret::tests::SECRET;
use super::*;

/// What a test waits for that must not come.
const SHORT: Duration = Duration::from_millis(200);

fn config(urls: &[String], allowed: &[&str]) -> WebHookConfig {
    WebHookConfig {
        urls: urls.iter().map(|url| url.parse().unwrap()).collect(),
        secret: SECRET.parse().unwrap(),
        tells_values: false,
        allowed_hosts: allowed.iter().map(|host| (*host).to_owned()).collect(),
        ca: None,
    }
}

/// The one at a receiver in this process.
fn plain(receiver: &Receiver) -> WebHookConfig {
    config(&[format!("http://127.0.0.1:{}/hook?key=1", receiver.port)], &["127.0.0.1"])
}

fn test_delivery() -> Delivery {
    target::delivery(&escalated(12), &SECRET.parse().unwrap(), PatientValues::Withheld)
}

async fn attempt(config: &WebHookConfig) -> Result<(), WebHookFailure> {
    let client = clients(config).unwrap().remove(0);
    client.attempt(&test_delivery()).await
}

/// Web hooks whose jobs run, and retry after milliseconds.
struct Running {
    hooks: WebHooks,
    metrics: Metrics,
    stop: CancellationToken,
    jobs: Vec<JoinHandle<()>>,
}

impl Running {
    fn start(config: &WebHookConfig, pace: Pace) -> Self {
        let (metrics, stop) = (Metrics::new(), CancellationToken::new());
        let (hooks, targets) = WebHooks::new(Some(config), &metrics).unwrap();
        let job = |mut target: Target| {
            target.pace = pace;
            target.client = target.client.patient_for(SHORT);
            tokio::spawn(target.run(stop.clone()))
        };
        let jobs = targets.into_iter().map(job).collect();
        Self { hooks, metrics, stop, jobs }
    }

    async fn stop(self) {
        self.stop.cancel();
        for job in self.jobs {
            tokio::time::timeout(PATIENCE, job).await.unwrap().unwrap();
        }
    }
}

fn quick() -> Pace {
    Pace {
        tried_for: PATIENCE,
        again_after_min: Duration::from_millis(1),
        again_after_max: Duration::from_millis(10),
    }
}

async fn received(receiver: &mut Receiver) -> Request {
    tokio::time::timeout(PATIENCE, receiver.requests.recv()).await.unwrap().unwrap()
}

#[tokio::test]
async fn what_is_handed_on_arrives_signed_and_without_values() {
    let mut receiver = Receiver::plain(&[ACCEPTED]).await;
    let running = Running::start(&plain(&receiver), quick());
    running.hooks.hand(escalated(12));
    let request = received(&mut receiver).await;
    assert_eq!(request.line, "POST /hook?key=1 HTTP/1.1");
    assert_eq!(request.header("content-type"), "application/json");
    assert_eq!(request.header("host"), format!("127.0.0.1:{}", receiver.port));
    let secret: HookSecret = SECRET.parse().unwrap();
    let timestamp_s: u64 = request.header("webhook-timestamp").parse().unwrap();
    let signature = secret.signature(request.header("webhook-id"), timestamp_s, request.body.as_bytes());
    assert_eq!(request.header("webhook-signature"), signature);
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    assert!(now_s.abs_diff(timestamp_s) <= PATIENCE.as_secs());
    let body: serde_json::Value = serde_json::from_str(&request.body).unwrap();
    assert_eq!((&body["device"], &body["number"]), (&"bed_07".into(), &12.into()));
    assert!(!request.body.contains("151") && body.get("value").is_none(), "{}", request.body);
    until("delivered", || running.metrics.web_hooks_delivered.get() == 1).await;
    running.stop().await;
}

#[tokio::test]
async fn values_are_sent_where_the_settings_say_so() {
    let mut receiver = Receiver::plain(&[ACCEPTED]).await;
    let running = Running::start(&WebHookConfig { tells_values: true, ..plain(&receiver) }, quick());
    running.hooks.hand(escalated(12));
    assert!(received(&mut receiver).await.body.contains(r#""value":151.5"#));
    running.stop().await;
}

#[tokio::test]
async fn is_tried_until_it_is_accepted_with_one_id_and_no_redirect_is_followed() {
    let answers = [
        ERROR,
        Answer::Text("HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"),
        Answer::Text("HTTP/1.1 20"),
        Answer::Text(""),
        Answer::Text("not HTTP at all\r\n\r\n"),
        Answer::Text("HTTP/1.1 429 Slowly\r\n\r\n"),
        Answer::Hang(""),
        ACCEPTED,
    ];
    let mut receiver = Receiver::plain(&answers).await;
    let running = Running::start(&plain(&receiver), quick());
    running.hooks.hand(escalated(12));
    let mut ids = BTreeSet::new();
    for _ in 0..answers.len() {
        let request = received(&mut receiver).await;
        assert_eq!(request.line, "POST /hook?key=1 HTTP/1.1");
        ids.insert(request.header("webhook-id").to_owned());
    }
    assert_eq!(ids.len(), 1);
    until("delivered", || running.metrics.web_hooks_delivered.get() == 1).await;
    assert_eq!(running.metrics.web_hooks_failed.get(), 7);
    assert_eq!(running.metrics.web_hooks_given_up.get(), 0);
    // After a restart the same escalation has the same id.
    let again = Running::start(&plain(&receiver), quick());
    again.hooks.hand(escalated(12));
    assert!(ids.contains(received(&mut receiver).await.header("webhook-id")));
    again.hooks.hand(escalated(13));
    assert!(!ids.contains(received(&mut receiver).await.header("webhook-id")));
    again.stop().await;
    running.stop().await;
}

#[tokio::test]
async fn what_is_never_accepted_is_given_up_and_what_is_gone_at_once() {
    let receiver = Receiver::plain(&[ERROR]).await;
    let pace = Pace { tried_for: Duration::from_millis(50), ..quick() };
    let running = Running::start(&plain(&receiver), pace);
    running.hooks.hand(escalated(12));
    until("given up", || running.metrics.web_hooks_given_up.get() == 1).await;
    running.stop().await;
    let gone = Receiver::plain(&[Answer::Text("HTTP/1.1 410 Gone\r\n\r\n")]).await;
    let running = Running::start(&plain(&gone), Pace::default());
    running.hooks.hand(escalated(12));
    until("given up", || running.metrics.web_hooks_given_up.get() == 1).await;
    assert_eq!(running.metrics.web_hooks_failed.get(), 1);
    running.stop().await;
}

#[tokio::test]
async fn a_receiver_that_hangs_holds_up_no_other_and_no_stop() {
    let hanging = Receiver::plain(&[Answer::Hang("")]).await;
    let mut quick_one = Receiver::plain(&[ACCEPTED]).await;
    let urls = [hanging.port, quick_one.port].map(|port| format!("http://127.0.0.1:{port}/hook"));
    let running = Running::start(&config(&urls, &["127.0.0.1"]), Pace::default());
    for number in 0..20 {
        running.hooks.hand(escalated(number));
    }
    for _ in 0..20 {
        received(&mut quick_one).await;
    }
    until("all delivered", || running.metrics.web_hooks_delivered.get() == 20).await;
    assert!(hanging.connections.load(Ordering::Relaxed) <= queue::UNDER_WAY_MAX * 2, "few at the same time");
    running.stop().await;
}

#[tokio::test]
async fn an_answer_without_end_is_not_read() {
    let body = Answer::Endless("HTTP/1.1 200 OK\r\n\r\n", "0123456789");
    let receiver = Receiver::plain(&[body]).await;
    attempt(&plain(&receiver)).await.unwrap();
    let head = Answer::Endless("HTTP/1.1 200 OK\r\n", "X-More: 0123456789\r\n");
    let receiver = Receiver::plain(&[head]).await;
    let failure = attempt(&plain(&receiver)).await.unwrap_err();
    assert!(matches!(failure, WebHookFailure::Http(_)), "{failure}");
}

#[tokio::test]
async fn an_attempt_ends_in_its_time_whatever_the_receiver_does() {
    for answer in ["", "HTTP/1.1 200 OK\r\n"].map(Answer::Hang) {
        let receiver = Receiver::plain(&[answer]).await;
        let client = clients(&plain(&receiver)).unwrap().remove(0).patient_for(SHORT);
        let started = Instant::now();
        let failure = client.attempt(&test_delivery()).await.unwrap_err();
        assert!(matches!(failure, WebHookFailure::Late(_)), "{failure}");
        assert!(started.elapsed() >= SHORT);
    }
}

#[tokio::test]
async fn a_certificate_counts_only_by_its_name_and_by_who_vouches_for_it() {
    let vouched = Vouched::new();
    let mut receiver = Receiver::tls(&[ACCEPTED], &vouched.server("localhost")).await;
    let url = [format!("https://localhost:{}/hook", receiver.port)];
    let trusting = WebHookConfig { ca: Some(vouched.ca()), ..config(&url, &["localhost"]) };
    attempt(&trusting).await.unwrap();
    assert_eq!(received(&mut receiver).await.line, "POST /hook HTTP/1.1");
    let failure = attempt(&config(&url, &["localhost"])).await.unwrap_err();
    assert!(matches!(failure, WebHookFailure::Certificate(_)), "no one vouches: {failure}");
    let someone = Vouched::new();
    let others = WebHookConfig { ca: Some(someone.ca()), ..trusting.clone() };
    let failure = attempt(&others).await.unwrap_err();
    assert!(matches!(failure, WebHookFailure::Certificate(_)), "someone else: {failure}");
    let elsewhere = Receiver::tls(&[ACCEPTED], &vouched.server("ward.example")).await;
    let url = [format!("https://localhost:{}/hook", elsewhere.port)];
    let failure = attempt(&WebHookConfig { urls: config(&url, &[]).urls, ..trusting }).await.unwrap_err();
    assert!(matches!(failure, WebHookFailure::Certificate(_)), "another name: {failure}");
    assert!(failure.to_string().contains("alarms.webhook_ca"), "{failure}");
    let missing = WebHookConfig { ca: Some("/no/such.pem".into()), ..config(&url, &[]) };
    assert!(WebHooks::new(Some(&missing), &Metrics::new()).is_err());
}

#[tokio::test]
async fn a_receiver_that_speaks_no_tls_is_not_sent_anything() {
    let mut receiver = Receiver::plain(&[ACCEPTED]).await;
    let url = [format!("https://localhost:{}/hook", receiver.port)];
    let failure = attempt(&config(&url, &["localhost"])).await.unwrap_err();
    assert!(matches!(failure, WebHookFailure::Tls(_) | WebHookFailure::Late(_)), "{failure}");
    assert!(receiver.requests.try_recv().is_err());
}

#[tokio::test]
async fn nothing_connects_to_this_machine_or_a_private_network_in_whatever_form() {
    let receiver = Receiver::plain(&[ACCEPTED]).await;
    let port = receiver.port;
    for host in [
        "localhost",
        "127.0.0.1",
        "[::ffff:127.0.0.1]",
        "[::1]",
        "2130706433",
        "0x7f.1",
        "127.1",
        "0.0.0.0",
        "10.0.0.1",
    ] {
        let url = [format!("https://{host}:{port}/hook")];
        let failure = attempt(&config(&url, &["other.example"])).await.unwrap_err();
        let is_refused = matches!(failure, WebHookFailure::NotPublic { .. } | WebHookFailure::Lookup { .. });
        assert!(is_refused, "{host}: {failure}");
        if let WebHookFailure::NotPublic { .. } = failure {
            assert!(failure.to_string().contains("alarms.webhook_allowed_hosts"), "{failure}");
        }
    }
    assert_eq!(receiver.connections.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn plain_http_needs_its_host_to_be_allowed_and_the_name_alone_counts() {
    let receiver = Receiver::plain(&[ACCEPTED]).await;
    let url = [format!("http://localhost:{}/hook", receiver.port)];
    for allowed in [&["127.0.0.1"][..], &["local"], &[]] {
        let failure = attempt(&config(&url, allowed)).await.unwrap_err();
        assert!(matches!(failure, WebHookFailure::Plain { .. }), "{failure}");
    }
    assert_eq!(receiver.connections.load(Ordering::Relaxed), 0);
    attempt(&config(&url, &["localhost"])).await.unwrap();
}

#[tokio::test]
async fn what_is_too_much_is_dropped_and_counted_and_never_waits() {
    let metrics = Metrics::new();
    let config = config(&["https://ward.example/hook".to_owned()], &[]);
    let (hooks, _targets) = WebHooks::new(Some(&config), &metrics).unwrap();
    for number in 0..HANDED_MAX + 3 {
        hooks.hand(escalated(number as u64));
    }
    assert_eq!(metrics.web_hooks_dropped.get(), 3);
    let (none, targets) = WebHooks::new(None, &metrics).unwrap();
    none.hand(escalated(1));
    assert!(targets.is_empty());
    assert_eq!(metrics.web_hooks_dropped.get(), 3);
}

#[tokio::test]
async fn a_thousand_at_the_same_moment_all_arrive() {
    let receiver = Receiver::plain(&[ACCEPTED]).await;
    let running = Running::start(&plain(&receiver), quick());
    for number in 0..1_000 {
        running.hooks.hand(escalated(number));
    }
    until("all delivered", || running.metrics.web_hooks_delivered.get() == 1_000).await;
    assert_eq!(running.metrics.web_hooks_dropped.get(), 0);
    running.stop().await;
}

#[tokio::test]
async fn a_test_says_of_each_hook_what_came_of_it() {
    let mut receiver = Receiver::plain(&[ACCEPTED]).await;
    let failing = Receiver::plain(&[ERROR]).await;
    let urls = [receiver.port, failing.port].map(|port| format!("http://127.0.0.1:{port}/secret"));
    let results = test_web_hooks(&config(&urls, &["127.0.0.1"])).await.unwrap();
    let told: Vec<_> = results
        .iter()
        .map(|(origin, result)| (origin.as_str(), result.as_ref().err().map(ToString::to_string)))
        .collect();
    let origins = [receiver.port, failing.port].map(|port| format!("http://127.0.0.1:{port}"));
    let error = "it answered 500 Internal Server Error".to_owned();
    assert_eq!(told, [(origins[0].as_str(), None), (origins[1].as_str(), Some(error))]);
    assert!(received(&mut receiver).await.body.contains(r#""kind":"test""#));
}
