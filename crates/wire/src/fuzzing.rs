//! What must hold for any bytes: played over a corpus by the tests, and searched for exceptions by `cargo xtask fuzz`.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "what fails here is what is looked for")]

use std::fmt::Debug;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::channel::{ChannelError, FrameReader, FrameWriter};
use crate::heartbeat::{MAX_INFLATED, sign};
use crate::process::start_time;
use crate::sharing::{Answer, Ask, Frames, Greeting, Seal};
use crate::{
    Heartbeat, MAX_DATAGRAM, ProcessId, ProxyCommand, ProxyEvent, TicketRoot, clean_mappings, pool_of_key,
};

const KEY: &[u8] = b"key";

/// `data` as a datagram, as the body of a signed one, and as the JSON in one.
pub fn heartbeat(data: &[u8]) -> bool {
    let data = &data[..data.len().min(MAX_DATAGRAM)];
    let mut zlib = flate2::write::ZlibEncoder::new(vec![], flate2::Compression::fast());
    zlib.write_all(data).unwrap();
    let mut good = false;
    for datagram in [data.to_vec(), sign(data.to_vec(), KEY), sign(zlib.finish().unwrap(), KEY)] {
        let Ok(beat) = Heartbeat::open(&datagram, KEY) else { continue };
        good = true;
        assert!(Heartbeat::open(&datagram, b"another key").is_err());
        for key in beat.pools.keys() {
            let _ = pool_of_key(key);
        }
        match beat.seal(KEY) {
            Ok(sealed) => assert_eq!(Heartbeat::open(&sealed, KEY).unwrap(), beat),
            // Only what says more than any heartbeat of ours does not fit.
            Err(_) => assert!(serde_json::to_vec(&beat).unwrap().len() as u64 > MAX_INFLATED / 128),
        }
    }
    good
}

/// `data` as what comes through the socket between agent and proxy, in one piece and in others.
pub fn channel(data: &[u8]) -> bool {
    let data = &data[..data.len().min(32 << 10)];
    // Both, always.
    frames::<ProxyCommand>(data) | frames::<ProxyEvent>(data)
}

fn frames<T: Serialize + DeserializeOwned + PartialEq + Debug>(data: &[u8]) -> bool {
    let (messages, end) = receive::<T>(data, data.len());
    for size in [1, 7, 1000] {
        // Byte by byte is slow, and a beginning is as good.
        let data = &data[..data.len().min(size * 40)];
        let whole = receive::<T>(data, data.len());
        assert_eq!(receive::<T>(data, size), whole, "in pieces of {size}");
    }
    let good = end == END;
    if good {
        let bytes: Vec<u8> = messages.iter().flat_map(frame).collect();
        assert_eq!(receive::<T>(&bytes, bytes.len()), (messages, end));
    }
    good
}

const END: &str = "closed";

/// The messages in `data` when it comes in pieces of `size`, and how it ends.
fn receive<T: DeserializeOwned>(data: &[u8], size: usize) -> (Vec<T>, String) {
    let (mut sender, receiver) = UnixStream::pair().unwrap();
    receiver.set_nonblocking(true).unwrap();
    let mut reader = FrameReader::default();
    let mut messages = vec![];
    for piece in data.chunks(size.max(1)) {
        sender.write_all(piece).unwrap();
        if let Some(end) = take(&mut reader, &receiver, &mut messages) {
            return (messages, end);
        }
    }
    // Not by closing: whoever looks at this process's files holds them open for a moment.
    sender.shutdown(Shutdown::Write).unwrap();
    let end = take(&mut reader, &receiver, &mut messages).unwrap();
    assert!(reader.take_fds(1).is_err());
    (messages, end)
}

/// Takes what is there; says how it ended, if it has.
fn take<T: DeserializeOwned>(
    reader: &mut FrameReader,
    receiver: &UnixStream,
    messages: &mut Vec<T>,
) -> Option<String> {
    loop {
        match reader.fill(receiver) {
            Ok(true) => {}
            Ok(false) => return Some(END.to_owned()),
            Err(ChannelError::Io(error)) if error.kind() == ErrorKind::WouldBlock => return None,
            Err(error) => return Some(error.to_string()),
        }
        loop {
            match reader.message() {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(error) => return Some(error.to_string()),
            }
        }
    }
}

fn frame<T: Serialize>(message: &T) -> Vec<u8> {
    let (sender, mut receiver) = UnixStream::pair().unwrap();
    FrameWriter::<OwnedFd>::new(message, []).unwrap().flush(&sender).unwrap();
    sender.shutdown(Shutdown::Write).unwrap();
    let mut bytes = vec![];
    receiver.read_to_end(&mut bytes).unwrap();
    bytes
}

/// `data` as the text of a pid file, as `/proc/PID/stat` and as `/proc/PID/smaps`.
pub fn process(data: &[u8]) -> bool {
    let mut good = false;
    if let Some(time) = start_time(data) {
        good = true;
        // The command may hold anything.
        let other = [b"7 (a) S 1 2 ", data].concat();
        assert_eq!(start_time(&other), Some(time));
    }
    let Ok(text) = std::str::from_utf8(data) else { return good };
    if let Ok(id) = text.parse::<ProcessId>() {
        good = true;
        assert!(id.pid > 0 && i32::try_from(id.pid).is_ok());
        assert_eq!(id.to_string().parse(), Ok(id));
    }
    for range in clean_mappings(text) {
        good = true;
        assert!(range.start < range.end);
    }
    good
}

/// `data` as a greeting, as what comes after one, and as the JSON in a frame of somebody who has the key.
pub fn sharing(data: &[u8]) -> bool {
    let data = &data[..data.len().min(64 << 10)];
    let mut good = false;
    if let Some(greeting) = data.first_chunk().and_then(|first| Greeting::read(*first).ok()) {
        good = true;
        assert!(data.starts_with(greeting.bytes()));
    }
    let mut strange = Frames::new(seal());
    for piece in data.chunks(1000) {
        strange.push(piece);
        match strange.message::<Answer>() {
            Ok(message) => assert_eq!(message, None, "nobody has the key"),
            Err(_) => break,
        }
    }
    // Both, always.
    good | sealed::<Ask>(data) | sealed::<Answer>(data)
}

fn seal() -> Seal {
    let key = TicketRoot::new(KEY).sharing_key(octavia_model::LoadBalancerId::nil());
    Seal::both(&key, &Greeting::new([1; 16]), &Greeting::new([2; 16])).0
}

fn sealed<T: Serialize + DeserializeOwned + PartialEq + Debug>(json: &[u8]) -> bool {
    let read = |mut bytes: Vec<u8>| {
        let mut frames = Frames::new(seal());
        frames.push(&bytes);
        let message = frames.message::<T>();
        if let Ok(Some(_)) = message {
            // The last byte of its tag is another: nothing of it is read.
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            let mut frames = Frames::new(seal());
            frames.push(&bytes);
            assert!(frames.message::<T>().is_err());
        }
        message.ok()
    };
    let Some(message) = read(seal().close(json).unwrap()) else { return false };
    let message = message.unwrap();
    // It may take more room than it came in: names that are left out are written.
    if let Ok(again) = seal().frame(&message) {
        assert_eq!(read(again).unwrap().unwrap(), message);
    }
    true
}

#[cfg(test)]
mod tests {
    use octavia_corpus::play;

    #[test]
    fn heartbeat() {
        play("heartbeat", super::heartbeat);
    }

    #[test]
    fn channel() {
        play("channel", super::channel);
    }

    #[test]
    fn sharing() {
        play("sharing", super::sharing);
    }

    #[test]
    fn process() {
        play("process", super::process);
    }
}
