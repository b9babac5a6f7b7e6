//! Changes to inputs by chance: the usual ones of fuzzers.

/// What parsers may trip over.
const WORDS: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\r",
    b"\r\n\r\n",
    b" ",
    b"\t",
    b"\0",
    b"\x7f",
    b"\xff",
    b":",
    b",",
    b";",
    b"0",
    b"-1",
    b"4294967296",
    b"18446744073709551615",
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Connection: close\r\n",
    b"Host: b\r\n",
    b"chunked",
    b"HTTP/1.0",
    b"{}",
    b"[]",
    b"\"\"",
    b"null",
];

/// The longest input made.
const LENGTH: usize = 64 << 10;

/// Makes new inputs of old ones, the same for the same name.
pub(crate) struct Mutator(u64);

impl Mutator {
    pub(crate) fn new(name: &str) -> Self {
        Self(name.bytes().fold(0x9e37_79b9_7f4a_7c15, |seed, byte| mix(seed ^ u64::from(byte))))
    }

    /// Below `n`, which is not 0.
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        (mix(self.0) % n as u64) as usize
    }

    /// A changed input, and the place of the one it was made of.
    pub(crate) fn next(&mut self, inputs: &[Vec<u8>]) -> (usize, Vec<u8>) {
        let from = self.below(inputs.len());
        let mut input = inputs[from].clone();
        for _ in 0..=self.below(4) {
            self.change(&mut input, inputs);
        }
        input.truncate(LENGTH);
        (from, input)
    }

    fn change(&mut self, input: &mut Vec<u8>, inputs: &[Vec<u8>]) {
        let at = self.below(input.len() + 1);
        let end = at + self.below((input.len() - at).min(64) + 1);
        match self.below(8) {
            0 if at < input.len() => input[at] ^= 1 << self.below(8),
            1 if at < input.len() => input[at] = self.below(256) as u8,
            2 => drop(input.drain(at..end)),
            3 => input.truncate(at),
            4 => {
                let piece = input[at..end].to_vec();
                let to = self.below(input.len() + 1);
                input.splice(to..to, piece);
            }
            5 => {
                let other = &inputs[self.below(inputs.len())];
                let from = self.below(other.len() + 1);
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            6 => {
                let word = WORDS[self.below(WORDS.len())];
                input.splice(at..end, word.iter().copied());
            }
            _ => {
                let word = WORDS[self.below(WORDS.len())];
                input.splice(at..at, word.iter().copied());
            }
        }
    }
}

/// The finalizer of splitmix64.
fn mix(mut x: u64) -> u64 {
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_is_repeatable_and_makes_a_difference() {
        let inputs = [b"GET / HTTP/1.1\r\n\r\n".to_vec(), b"x".to_vec(), vec![]];
        let run = |name| {
            let mut mutator = Mutator::new(name);
            (0..1000).map(|_| mutator.next(&inputs).1).collect::<Vec<_>>()
        };
        assert_eq!(run("a"), run("a"));
        assert_ne!(run("a"), run("b"));
        let mut made = run("a");
        made.sort();
        made.dedup();
        assert!(made.len() > 500, "{}", made.len());
    }
}
