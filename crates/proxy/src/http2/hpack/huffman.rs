//! The Huffman code of header strings (RFC 7541 §5.2, Appendix B).

use super::Undecodable;

/// Bits of the code of each byte, and of the end of a string that may be anywhere. Codes of one length are consecutive
/// numbers in the order of their bytes, and begin where the shorter ones end: the lengths are all there is to know.
#[rustfmt::skip]
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];

const END: u16 = 256;
/// The longest code, in bits.
const LONGEST: usize = 30;
/// Codes up to this many bits are found in one look.
const SHORT: u32 = 10;

struct Code {
    codes: [u32; 257],
    /// Of each length: its first code, how many there are, and the place of the first one's symbol in `symbols`.
    first: [u32; LONGEST + 1],
    count: [u32; LONGEST + 1],
    place: [u32; LONGEST + 1],
    /// In the order of their codes.
    symbols: [u16; 257],
    /// By the next [`SHORT`] bits: length and byte; 0 = the code is longer.
    short: [u16; 1 << SHORT],
}

static CODE: Code = Code::new();

impl Code {
    const fn new() -> Self {
        let mut code = Self {
            codes: [0; 257],
            first: [0; LONGEST + 1],
            count: [0; LONGEST + 1],
            place: [0; LONGEST + 1],
            symbols: [0; 257],
            short: [0; 1 << SHORT],
        };
        let (mut next, mut placed, mut length) = (0u32, 0, 1);
        while length <= LONGEST {
            next <<= 1;
            code.first[length] = next;
            code.place[length] = placed;
            let mut symbol = 0;
            while symbol < 257 {
                if LENGTHS[symbol] as usize == length {
                    code.codes[symbol] = next;
                    code.symbols[placed as usize] = symbol as u16;
                    if length as u32 <= SHORT {
                        let spare = SHORT - length as u32;
                        let mut at = next << spare;
                        while at < (next + 1) << spare {
                            code.short[at as usize] = (length as u16) << 8 | symbol as u16;
                            at += 1;
                        }
                    }
                    next += 1;
                    placed += 1;
                }
                symbol += 1;
            }
            code.count[length] = next - code.first[length];
            length += 1;
        }
        code
    }

    /// The symbol whose code `bits` begins with, and its length.
    fn symbol(&self, bits: u32) -> (u16, u32) {
        let short = self.short[(bits >> (32 - SHORT)) as usize];
        if short != 0 {
            return (short & 0xff, u32::from(short >> 8));
        }
        for length in SHORT as usize + 1..LONGEST {
            let nth = (bits >> (32 - length)).wrapping_sub(self.first[length]);
            if nth < self.count[length] {
                return (self.symbols[(self.place[length] + nth) as usize], length as u32);
            }
        }
        // The code is complete: what is left has the longest codes.
        let nth = (bits >> (32 - LONGEST)) - self.first[LONGEST];
        (self.symbols[(self.place[LONGEST] + nth) as usize], LONGEST as u32)
    }
}

/// Appends what `bytes` stand for.
pub(crate) fn decode(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Undecodable> {
    let mut rest = bytes.iter();
    // The last `held` bits of it are still to be decoded.
    let (mut bits, mut held) = (0u64, 0u32);
    loop {
        while held <= 56
            && let Some(&byte) = rest.next()
        {
            bits = bits << 8 | u64::from(byte);
            held += 8;
        }
        if held == 0 {
            return Ok(());
        }
        // Beyond the end there are ones, as in the padding.
        let next = if held >= 32 {
            (bits >> (held - 32)) as u32
        } else {
            (bits << (32 - held)) as u32 | (u32::MAX >> held)
        };
        let (symbol, length) = CODE.symbol(next);
        if length > held {
            let padding = held < 8 && next == u32::MAX;
            return if padding { Ok(()) } else { Err(Undecodable("the padding of a Huffman code")) };
        }
        if symbol == END {
            return Err(Undecodable("the end of a string within it"));
        }
        out.push(symbol as u8);
        held -= length;
    }
}

/// Bytes that [`encode`] makes of these.
pub(crate) fn encoded_len(bytes: &[u8]) -> usize {
    let bits: usize = bytes.iter().map(|&b| usize::from(LENGTHS[usize::from(b)])).sum();
    bits.div_ceil(8)
}

pub(crate) fn encode(bytes: &[u8], out: &mut Vec<u8>) {
    let (mut bits, mut held) = (0u64, 0u32);
    for &byte in bytes {
        let length = u32::from(LENGTHS[usize::from(byte)]);
        bits = bits << length | u64::from(CODE.codes[usize::from(byte)]);
        held += length;
        while held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
        }
    }
    if held > 0 {
        out.push((bits << (8 - held)) as u8 | u8::MAX >> held);
    }
}
