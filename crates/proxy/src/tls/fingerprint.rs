//! Tells specs apart without keeping a copy of their keys.

use std::fmt;

use aws_lc_rs::digest;
use octavia_model::{Cipher, TlsVersion};
use octavia_wire::{CertificateSpec, Der};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Fingerprint([u8; 32]);

impl Fingerprint {
    pub(super) const fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Takes in what makes a spec, one part after the other: each with its length, each list with its count, so that no two
/// specs are the same bytes.
pub(super) struct Press(digest::Context);

impl Default for Press {
    fn default() -> Self {
        Self(digest::Context::new(&digest::SHA256))
    }
}

impl fmt::Debug for Press {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Press")
    }
}

impl Press {
    pub(super) fn number(&mut self, n: usize) {
        self.0.update(&(n as u64).to_be_bytes());
    }

    pub(super) fn part(&mut self, bytes: &[u8]) {
        self.number(bytes.len());
        self.0.update(bytes);
    }

    pub(super) fn ders(&mut self, all: &[Der]) {
        self.number(all.len());
        all.iter().for_each(|der| self.part(&der.0));
    }

    pub(super) fn certificate(&mut self, spec: &CertificateSpec) {
        self.ders(&spec.chain);
        self.part(spec.key.reveal());
        self.number(spec.names.len());
        spec.names.iter().for_each(|name| self.part(name.as_bytes()));
    }

    pub(super) fn terms(&mut self, versions: &[TlsVersion], ciphers: &[Cipher], alpn: &[String]) {
        self.number(versions.len());
        versions.iter().for_each(|version| self.part(version.as_str().as_bytes()));
        self.number(ciphers.len());
        ciphers.iter().for_each(|cipher| self.part(cipher.as_str().as_bytes()));
        self.number(alpn.len());
        alpn.iter().for_each(|protocol| self.part(protocol.as_bytes()));
    }

    pub(super) fn print(self) -> Fingerprint {
        let mut print = [0; 32];
        print.copy_from_slice(self.0.finish().as_ref());
        Fingerprint(print)
    }
}
