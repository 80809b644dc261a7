//! Serves the configuration page of a device that is nowhere, for a browser, until settings are saved; then prints them.
//!
//! ```text
//! cargo run -p vitalwire-web --example configuration -- 127.0.0.1:8080
//! ```

use std::error::Error;

use tokio::net::TcpListener;
use vitalwire_testing::device::Socket;
use vitalwire_testing::setup::Bench;
use vitalwire_web::CONFIGURATION_PAGE;

/// Connections at once, as many as the device's.
const CONNECTIONS: usize = 3;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).ok_or("usage: configuration ADDRESS:PORT")?;
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    println!("{address}");
    let mut bench = Bench::new(CONFIGURATION_PAGE);
    let own = address.to_string();
    let hosts = ["192.168.4.1", &own];
    let server = bench.server(&hosts);
    for (name, rssi_dbm, is_secured) in [
        (&b"Ward 3"[..], -48, true),
        (b"caf\xe9 \xff", -55, true),
        (b"Guests", -61, false),
        (b"</script><script>alert(1)//", -70, true),
    ] {
        server.list_network(name, rssi_dbm, is_secured);
    }
    let serve = async || loop {
        let (stream, _) = listener.accept().await?;
        if let Some(settings) = server.serve_connection(&mut Socket(stream)).await {
            return Ok::<_, std::io::Error>(settings);
        }
    };
    let [first, second, third] = [(); CONNECTIONS].map(|()| serve());
    let settings =
        tokio::select! { saved = first => saved, saved = second => saved, saved = third => saved }?;
    let name: String = settings.wifi_name.iter().map(|byte| format!("{byte:02x}")).collect();
    let saved = serde_json::json!({
        "server": settings.server.as_str(),
        "port": settings.port,
        "wifiName": name,
        "wifiPassword": settings.wifi_password.as_str(),
    });
    println!("{saved}");
    Ok(())
}
