//! Starts a broker for one user, who may see one bed, publishes for two beds, and prints what the user's client gets.
//!
//!     cargo run -p vitalwire-broker --example publish

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{AsyncClient, Event, MqttOptions};
use tokio::sync::watch;
use vitalwire_access::{PasswordHash, Role, Scope};
use vitalwire_broker::{Broker, BrokerConfig};
use vitalwire_registry::{Directory, LoginLimits, Logins, User};

const PASSWORD: &str = "a password for the nurse";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    // A server gets its users from the registry, as they change.
    let (_changes, directory) = watch::channel(Arc::new(one_nurse()?));
    let logins = Arc::new(Logins::new(directory, LoginLimits::default()));
    let plain = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let broker = Broker::start(BrokerConfig { plain, ..BrokerConfig::new(folder.path()) }, logins).await?;
    for (bed, celsius) in [("bed_07", "36.6"), ("bed_08", "37.1")] {
        broker.publish(format!("Pico/{bed}/Physiological_Data/Temperature"), celsius.into(), true);
    }

    let port = broker.addresses().plain.ok_or("it listens nowhere")?.port();
    let mut options = MqttOptions::new("example", "127.0.0.1", port);
    options.set_credentials("nurse", PASSWORD);
    let (client, mut events) = AsyncClient::new(options, 10);
    for bed in ["bed_07", "bed_08"] {
        client.subscribe(format!("Pico/{bed}/#"), QoS::AtLeastOnce).await?;
    }
    let (mut answers, mut messages) = (0, 0);
    while answers < 2 || messages < 1 {
        match events.poll().await? {
            Event::Incoming(Packet::SubAck(ack)) => {
                answers += 1;
                println!("answer {answers}: {:?}", ack.return_codes);
            }
            Event::Incoming(Packet::Publish(message)) => {
                messages += 1;
                let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
                println!("{} is {}", text(&message.topic), text(&message.payload));
            }
            _ => {}
        }
    }
    broker.stop().await;
    Ok(())
}

/// A directory with one user, who sees one device.
fn one_nurse() -> Result<Directory, Box<dyn Error>> {
    let role = Role::Reader { devices: Scope::Named(["bed_07".parse()?].into()) };
    let password_hash = PasswordHash::new(PASSWORD, &[7; 16])?;
    let nurse = User { name: "nurse".parse()?, role, password_hash };
    let users = Arc::new([(nurse.name.clone(), Arc::new(nurse))].into());
    Ok(Directory { users, ..Directory::default() })
}
