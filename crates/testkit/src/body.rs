//! Bodies whose every byte is known: the client checks content, not only length.

use std::sync::OnceLock;

use bytes::Bytes;

/// The longest body the origins send, in bytes.
pub const MAX: usize = 16 << 20;

/// The first `length` bytes of the one endless pattern; longer than [`MAX`] is cut to it.
///
/// The period (65,521, a prime) divides no buffer size, so a block lost, doubled or swapped is seen.
pub fn pattern(length: usize) -> Bytes {
    static PATTERN: OnceLock<Bytes> = OnceLock::new();
    PATTERN.get_or_init(|| (0..MAX).map(byte).collect::<Vec<u8>>().into()).slice(..length.min(MAX))
}

fn byte(at: usize) -> u8 {
    let at = at % 65_521;
    // Printable, so that a dump of a failed response can be read.
    b'!' + u8::try_from((at * 7 + at / 89) % 94).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_a_prefix_of_itself_and_notices_a_shift() {
        let long = pattern(200_000);
        assert_eq!(long[..1000], pattern(1000));
        for shift in [1, 94, 4096, 16_384, 65_536] {
            assert_ne!(long[shift..shift + 4096], long[..4096], "shift {shift}");
        }
    }
}
