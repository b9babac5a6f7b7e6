//! Messages of netlink(7), whatever they are about; pure.
//!
//! A message is a header of 16 bytes (length, kind, flags, sequence number, port), a fixed part of its kind, and attributes: each
//! its length, its number and its value, padded to four bytes. All numbers are the machine's own way round.

use std::net::IpAddr;

const HEADER: usize = 16;

/// A message that is being written.
#[derive(Debug)]
pub(crate) struct Message(Vec<u8>);

impl Message {
    /// `fixed` = the part of its kind.
    pub(crate) fn new(kind: u16, flags: i32, fixed: &[u8]) -> Self {
        let mut bytes = vec![0; HEADER];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        // Flags are 16 bits wide, though their names are of a wider type.
        bytes[6..8].copy_from_slice(&(flags as u16 | libc::NLM_F_REQUEST as u16).to_ne_bytes());
        bytes.extend(fixed);
        Self(bytes)
    }

    pub(crate) fn with(mut self, number: u16, value: &[u8]) -> Self {
        let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
        self.0.extend(length.to_ne_bytes());
        self.0.extend(number.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    pub(crate) fn with_u32(self, number: u16, value: u32) -> Self {
        self.with(number, &value.to_ne_bytes())
    }

    pub(crate) fn with_ip(self, number: u16, address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => self.with(number, &v4.octets()),
            IpAddr::V6(v6) => self.with(number, &v6.octets()),
        }
    }

    /// Attributes alone, to be the value of another.
    #[cfg(test)]
    pub(crate) fn attributes() -> Self {
        Self(vec![])
    }

    #[cfg(test)]
    pub(crate) fn with_nested(self, number: u16, attributes: &Self) -> Self {
        self.with(number | libc::NLA_F_NESTED as u16, &attributes.0)
    }

    /// Its bytes, under a number by which its answers are known.
    pub(crate) fn numbered(mut self, sequence: u32) -> Vec<u8> {
        let length = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        self.0[..4].copy_from_slice(&length.to_ne_bytes());
        self.0[8..12].copy_from_slice(&sequence.to_ne_bytes());
        self.0
    }
}

/// One message of the kernel's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Received<'a> {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) sequence: u32,
    pub(crate) body: &'a [u8],
}

/// The messages of a datagram; what is cut off is left out.
pub(crate) fn messages(mut datagram: &[u8]) -> impl Iterator<Item = Received<'_>> {
    std::iter::from_fn(move || {
        let header = datagram.get(..HEADER)?;
        let length = usize::try_from(number(header)?).ok()?;
        let body = datagram.get(HEADER..length)?;
        let pair = |at: usize| Some(u16::from_ne_bytes(header.get(at..at + 2)?.try_into().ok()?));
        let received = Received { kind: pair(4)?, flags: pair(6)?, sequence: number(&header[8..])?, body };
        datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(received)
    })
}

impl Received<'_> {
    /// Of an acknowledgement: `None` = well, or the number of an error.
    pub(crate) fn error(&self) -> Option<i32> {
        let code = number(self.body).map_or(-libc::EPROTO, u32::cast_signed);
        (code != 0).then_some(-code)
    }
}

pub(crate) fn number(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?))
}

pub(crate) fn ip(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

/// Number and value of each attribute.
pub(crate) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    /// A flag of the number says that the value is made of attributes.
    const NUMBER: u16 = 0x3fff;

    std::iter::from_fn(move || {
        let (length, kind) = (bytes.get(..2)?, bytes.get(2..4)?);
        let length = usize::from(u16::from_ne_bytes(length.try_into().ok()?));
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((u16::from_ne_bytes(kind.try_into().ok()?) & NUMBER, value))
    })
}

pub(crate) fn attribute(bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    attributes(bytes).find(|(number, _)| *number == wanted).map(|(_, value)| value)
}
