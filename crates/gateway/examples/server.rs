//! Runs the whole server side in a folder of its own, with one device enrolled, until Ctrl-C.
//!
//!     cargo run -p vitalwire-gateway --example server
//!
//! What it prints first, a device can use: `examples/python-client`.

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};

use vitalwire_access::Proxies;
use vitalwire_broker::BrokerConfig;
use vitalwire_gateway::{BrokerChoice, JournalLimits, Limits, Server, ServerConfig};
use vitalwire_registry::{MasterKey, Registry};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let (data, master_key) = (folder.path().join("data"), folder.path().join("master-key"));
    let registry = Registry::create(&data, &MasterKey::create(&master_key)?)?;
    let link = registry.add_tls_device(&"bed_07".parse()?)?;

    let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let broker = BrokerConfig { plain: Some(any_port), ..BrokerConfig::new(data.join("broker")) };
    let config = ServerConfig {
        data,
        master_key,
        device_listen: any_port,
        device_proxies: Proxies::default(),
        broker: BrokerChoice::Embedded(Box::new(broker)),
        metrics_listen: None,
        limits: Limits::default(),
        journal: JournalLimits::default(),
        batch_ms: None,
        alarm_timing: Default::default(),
        web_hooks: None,
    };
    let server = Server::start(config).await?;
    let psk: String = link.psk.bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    println!("identity: {}\npsk: {psk}\n{:?}", link.id, server.handle().addresses());
    tokio::signal::ctrl_c().await?;
    // Hands on and acknowledges what was received.
    server.stop().await;
    Ok(())
}
