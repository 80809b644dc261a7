//! What clients ask for, as the rest of the broker has it: of both versions alike.

use bytes::Bytes;
use mqtt_protocol_core::mqtt::packet::{Property, Qos, RetainHandling as Handling, SubEntry, v3_1_1, v5_0};
use mqtt_protocol_core::mqtt::result_code::DisconnectReasonCode;
use zeroize::Zeroizing;

use super::Input;
use crate::core::turn::{RetainHandling, Wish};
use crate::message::Publication;

/// CONNECT.
#[derive(Debug)]
pub(crate) struct ConnectRequest {
    pub(crate) v5: bool,
    pub(crate) client_id: String,
    pub(crate) clean: bool,
    pub(crate) keep_alive_s: u16,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<Zeroizing<Vec<u8>>>,
    pub(crate) will: Option<WillRequest>,
    pub(crate) expiry_s: u32,
    pub(crate) receive_max: u16,
    pub(crate) packet_bytes_max: usize,
    /// It wants another way to authenticate (MQTT 5 §4.12), which there is not.
    pub(crate) has_method: bool,
}

/// A will in CONNECT.
#[derive(Debug)]
pub(crate) struct WillRequest {
    pub(crate) message: PublishRequest,
    pub(crate) delay_s: u32,
}

/// PUBLISH.
#[derive(Debug)]
pub(crate) struct PublishRequest {
    pub(crate) topic: String,
    pub(crate) payload: Bytes,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    /// Zero at QoS 0.
    pub(crate) packet_id: u16,
    pub(crate) properties: Bytes,
    pub(crate) expiry_s: Option<u32>,
}

impl PublishRequest {
    /// What goes to subscribers. Its expiry begins when it is published.
    pub(crate) fn publication(&self) -> Publication {
        Publication {
            qos: self.qos,
            retain: self.retain,
            properties: self.properties.clone(),
            ..Publication::new(self.topic.as_str().into(), self.payload.clone())
        }
    }

    pub(super) fn of_3(publish: &v3_1_1::Publish) -> Self {
        let (topic, payload) = (publish.topic_name(), publish.payload().as_slice());
        let packet_id = publish.packet_id().unwrap_or(0);
        Self { packet_id, ..Self::new(topic, payload, publish.qos(), publish.retain(), &[]) }
    }

    pub(super) fn of_5(publish: &v5_0::Publish) -> Self {
        let (topic, payload) = (publish.topic_name(), publish.payload().as_slice());
        let packet_id = publish.packet_id().unwrap_or(0);
        Self { packet_id, ..Self::new(topic, payload, publish.qos(), publish.retain(), publish.props()) }
    }

    fn new(topic: &str, payload: &[u8], qos: Qos, retain: bool, properties: &[Property]) -> Self {
        let (properties, expiry_s) = forwarded(properties);
        Self {
            topic: topic.to_owned(),
            payload: Bytes::copy_from_slice(payload),
            qos: number(qos),
            retain,
            packet_id: 0,
            properties,
            expiry_s,
        }
    }
}

impl ConnectRequest {
    pub(super) fn of_3(connect: &v3_1_1::Connect) -> Self {
        let will = || {
            let (topic, payload) =
                (connect.will_topic().unwrap_or_default(), connect.will_payload().unwrap_or_default());
            let (qos, retain) = (connect.will_qos(), connect.will_retain());
            WillRequest { message: PublishRequest::new(topic, payload, qos, retain, &[]), delay_s: 0 }
        };
        Self {
            v5: false,
            client_id: connect.client_id().to_owned(),
            clean: connect.clean_session(),
            keep_alive_s: connect.keep_alive(),
            user: connect.user_name().map(str::to_owned),
            password: connect.password().map(|password| Zeroizing::new(password.to_vec())),
            will: connect.will_flag().then(will),
            expiry_s: if connect.clean_session() { 0 } else { u32::MAX },
            receive_max: u16::MAX,
            packet_bytes_max: usize::MAX,
            has_method: false,
        }
    }

    pub(super) fn of_5(connect: &v5_0::Connect) -> Self {
        let will = || {
            let (topic, payload) =
                (connect.will_topic().unwrap_or_default(), connect.will_payload().unwrap_or_default());
            let (qos, retain) = (connect.will_qos(), connect.will_retain());
            let delay_s = connect.will_props().iter().find_map(|property| match property {
                Property::WillDelayInterval(delay) => Some(delay.val()),
                _ => None,
            });
            WillRequest {
                message: PublishRequest::new(topic, payload, qos, retain, connect.will_props()),
                delay_s: delay_s.unwrap_or(0),
            }
        };
        let mut request = Self {
            v5: true,
            client_id: connect.client_id().to_owned(),
            clean: connect.clean_start(),
            keep_alive_s: connect.keep_alive(),
            user: connect.user_name().map(str::to_owned),
            password: connect.password().map(|password| Zeroizing::new(password.to_vec())),
            will: connect.will_flag().then(will),
            expiry_s: 0,
            receive_max: u16::MAX,
            packet_bytes_max: usize::MAX,
            has_method: false,
        };
        for property in connect.props() {
            match property {
                Property::SessionExpiryInterval(expiry) => request.expiry_s = expiry.val(),
                Property::ReceiveMaximum(max) => request.receive_max = max.val(),
                Property::MaximumPacketSize(max) => request.packet_bytes_max = max.val() as usize,
                Property::AuthenticationMethod(_) | Property::AuthenticationData(_) => {
                    request.has_method = true
                }
                _ => {}
            }
        }
        request
    }
}

pub(super) fn disconnect(disconnect: &v5_0::Disconnect) -> Input {
    let expiry_s = disconnect.props().iter().flatten().find_map(|property| match property {
        Property::SessionExpiryInterval(expiry) => Some(expiry.val()),
        _ => None,
    });
    let reason = disconnect.reason_code().unwrap_or(DisconnectReasonCode::NormalDisconnection);
    Input::Disconnect { in_good_order: reason == DisconnectReasonCode::NormalDisconnection, expiry_s }
}

/// The properties that go on to subscribers (MQTT 5 §3.3.2.3), encoded, and the expiry.
fn forwarded(properties: &[Property]) -> (Bytes, Option<u32>) {
    let (mut encoded, mut expiry_s) = (Vec::new(), None);
    for property in properties {
        match property {
            Property::MessageExpiryInterval(expiry) => expiry_s = Some(expiry.val()),
            Property::PayloadFormatIndicator(_)
            | Property::ContentType(_)
            | Property::ResponseTopic(_)
            | Property::CorrelationData(_)
            | Property::UserProperty(_) => encoded.extend(property.to_continuous_buffer()),
            _ => {}
        }
    }
    (encoded.into(), expiry_s)
}

pub(super) fn wishes(entries: &[SubEntry], id: u32) -> Vec<(String, Wish)> {
    entries.iter().map(|entry| (entry.topic_filter().to_owned(), wish(entry, id))).collect()
}

fn wish(entry: &SubEntry, id: u32) -> Wish {
    let options = entry.sub_opts();
    Wish {
        qos: number(options.qos()),
        no_local: options.nl(),
        retain_as_published: options.rap(),
        retained: match options.rh() {
            Handling::SendRetained => RetainHandling::Always,
            Handling::SendRetainedIfNotExists => RetainHandling::IfNew,
            Handling::DoNotSendRetained => RetainHandling::Never,
        },
        id,
    }
}

fn number(qos: Qos) -> u8 {
    match qos {
        Qos::AtMostOnce => 0,
        Qos::AtLeastOnce => 1,
        Qos::ExactlyOnce => 2,
    }
}
