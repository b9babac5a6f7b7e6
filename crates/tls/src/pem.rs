//! PEM (RFC 7468), read leniently: text around the blocks is passed over, blocks of any label come out in order.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

use crate::TlsError;

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";

/// Characters of a body before its text is moved, and leaves a copy: more than any private key has.
const BODY: usize = 16 << 10;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

#[derive(Debug)]
pub(crate) struct Block<'a> {
    pub(crate) label: &'a str,
    /// The header lines of the old form say that it is encrypted.
    pub(crate) old_encryption: bool,
    pub(crate) content: Content,
}

pub(crate) struct Content(pub(crate) Zeroizing<Vec<u8>>);

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

/// Whether it should be read as PEM rather than as DER.
pub(crate) fn is_pem(bytes: &[u8]) -> bool {
    bytes.windows(BEGIN.len()).any(|window| window == BEGIN.as_bytes())
}

/// Every block; what is not UTF-8 outside of base64 makes it damaged.
pub(crate) fn blocks(bytes: &[u8]) -> Result<Vec<Block<'_>>, TlsError> {
    let text = std::str::from_utf8(bytes).map_err(|_| TlsError::Pem)?;
    let mut blocks = vec![];
    let mut lines = text.lines().map(str::trim);
    while let Some(line) = lines.next() {
        let Some(label) = line.strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(DASHES)) else {
            continue;
        };
        let mut body = Zeroizing::new(String::with_capacity(text.len().min(BODY)));
        let mut old_encryption = false;
        loop {
            let line = lines.next().ok_or(TlsError::Pem)?;
            if let Some(end) = line.strip_prefix(END) {
                if end.strip_suffix(DASHES) != Some(label) {
                    return Err(TlsError::Pem);
                }
                break;
            }
            match line.split_once(':') {
                Some((name, value)) => old_encryption |= name == "Proc-Type" && value.contains("ENCRYPTED"),
                None => body.push_str(line),
            }
        }
        let mut content = Zeroizing::new(vec![0; base64::decoded_len_estimate(body.len())]);
        let length = BASE64.decode_slice(body.as_bytes(), &mut content).map_err(|_| TlsError::Pem)?;
        content.truncate(length);
        blocks.push(Block { label, old_encryption, content: Content(content) });
        // Each is at least a line, so this bounds what the texts of many blocks take.
        if blocks.len() > crate::AUTHORITIES_MAX {
            return Err(TlsError::TooMany(crate::AUTHORITIES_MAX));
        }
    }
    Ok(blocks)
}
