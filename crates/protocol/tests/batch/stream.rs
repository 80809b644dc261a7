//! What the tests share: a stream of every message, and a receiver that takes it in pieces.

use vitalwire_protocol::batch::{
    BatchError, ChannelData, Event, Hello, MESSAGE_LEN_MAX, Message, Refused, Samples, Scanner, Welcome,
    decode, encode_ack, encode_batch, encode_configure, encode_event, encode_hello, encode_refused,
    encode_welcome,
};

/// Writes one message into a vector.
pub(crate) fn written(write: impl FnOnce(&mut [u8]) -> Result<usize, BatchError>) -> Vec<u8> {
    let mut out = vec![0; MESSAGE_LEN_MAX];
    let len = write(&mut out).unwrap();
    out.truncate(len);
    out
}

/// One message of each kind, and a batch in each encoding.
pub(crate) fn messages() -> Vec<Vec<u8>> {
    let hello = Hello {
        boot: u64::MAX,
        profile: "pico",
        firmware: "1.4.0",
        time_ms: 86_400_000,
        oldest: None,
        past: false,
    };
    let event = Event { code: 2, text: "MPU-6050 does not answer", time_ms: 5 };
    let noise: Vec<i32> = (0..40_i32).map(|n| n.wrapping_mul(-1_640_531_527) >> 17).collect();
    let channels = [
        Samples { index: 2, interval_us: 50_000, delay_us: 0, scale: -3, values: &[1_802; 20] },
        Samples { index: 3, interval_us: 50_000, delay_us: 7_000, scale: -3, values: &noise },
        Samples { index: 0, interval_us: 1_000_000, delay_us: 0, scale: 0, values: &[37] },
        Samples { index: 9, interval_us: 2_000, delay_us: 0, scale: 9, values: &[i32::MIN, i32::MAX] },
    ];
    vec![
        written(|out| encode_hello(&hello, out)),
        written(|out| encode_hello(&Hello { oldest: Some(300), past: true, ..hello }, out)),
        written(|out| encode_welcome(&Welcome { utc_ms: 1_795_556_251_123, sequence: None }, out)),
        written(|out| encode_welcome(&Welcome { utc_ms: 1, sequence: Some(7) }, out)),
        written(|out| encode_batch(300, 86_401_000, None, &channels, out)),
        written(|out| encode_batch(301, 86_402_000, Some(299), &channels[..1], out)),
        written(|out| encode_ack(300, out)),
        written(|out| encode_configure(Some(1_000), &[(2, 4_000), (0, 1_000_000)], out)),
        written(|out| encode_configure(None, &[], out)),
        written(|out| encode_event(&event, out)),
        written(|out| encode_refused(&Refused { code: 3, text: "no channel 9", sequence: Some(301) }, out)),
        written(|out| encode_refused(&Refused { code: 2, text: "", sequence: None }, out)),
        vec![0x82, 0x18, 99, 0xa1, 0x18, 63, 0xfb, 0x40, 9, 0x21, 0xfb, 0x54, 0x44, 0x2d, 0x18],
    ]
}

/// A channel with its values unfolded.
#[derive(Debug, PartialEq)]
pub(crate) struct Unfolded {
    pub(crate) index: u8,
    pub(crate) interval_us: u32,
    pub(crate) delay_us: u32,
    pub(crate) scale: i8,
    pub(crate) values: Vec<i32>,
}

impl From<ChannelData<'_>> for Unfolded {
    fn from(channel: ChannelData<'_>) -> Self {
        let ChannelData { index, interval_us, delay_us, scale, values } = channel;
        let announced = values.len();
        let values: Vec<i32> = values.collect();
        assert_eq!(values.len(), announced);
        Self { index, interval_us, delay_us, scale, values }
    }
}

/// Everything a message says, as text, so that messages can be compared.
pub(crate) fn meaning(message: &Message<'_>) -> String {
    match message {
        Message::Batch(batch) => {
            let channels: Vec<Unfolded> = batch.channels().map(Unfolded::from).collect();
            format!("batch {} {} {:?} {channels:?}", batch.sequence, batch.time_ms, batch.oldest)
        }
        Message::Configure(configure) => {
            format!("configure {:?} {:?}", configure.batch_ms, configure.intervals().collect::<Vec<_>>())
        }
        other => format!("{other:?}"),
    }
}

/// The meanings of the messages of a stream that comes in these pieces, and the error that ended it.
pub(crate) fn receive<'p>(pieces: impl IntoIterator<Item = &'p [u8]>) -> (Vec<String>, Option<BatchError>) {
    let (mut buffer, mut scanner, mut meanings) = (Vec::new(), Scanner::default(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match scanner.scan(&buffer).and_then(|len| len.map_or(Ok(None), |len| decode(&buffer[..len]))) {
                Ok(None) => break,
                Ok(Some((message, len))) => {
                    meanings.push(meaning(&message));
                    buffer.drain(..len);
                }
                Err(error) => return (meanings, Some(error)),
            }
        }
        assert!(buffer.len() < MESSAGE_LEN_MAX);
    }
    (meanings, None)
}
