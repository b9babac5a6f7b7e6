//! What `$name` stands for in a table.

use std::collections::BTreeMap;

use crate::world::{self, secrets};

#[derive(Debug, Default)]
pub(crate) struct Names(BTreeMap<String, String>);

impl Names {
    /// Those of every world: networks, secrets, texts of certain lengths.
    pub(crate) fn of_every_world() -> Self {
        let mut names = Self::default();
        for (name, id) in [
            ("bundle", secrets::BUNDLE),
            ("authority", secrets::AUTHORITY),
            ("crl", secrets::CRL),
            ("foreign_crl", secrets::FOREIGN_CRL),
            ("old_crl", secrets::OLD_CRL),
            ("plain", secrets::PLAIN),
            ("mismatched", secrets::MISMATCHED),
            ("forbidden", secrets::FORBIDDEN),
            ("no_secret", world::ABSENT),
            ("away", secrets::AWAY),
        ] {
            names.set(name, secrets::reference(id));
        }
        for (name, id) in [
            ("network", world::NETWORK),
            ("empty_network", world::EMPTY_NETWORK),
            ("other_network", world::OTHER_NETWORK),
            ("subnet", world::SUBNET),
            ("subnet6", world::SUBNET6),
            ("full_subnet", world::FULL_SUBNET),
            ("other_subnet", world::OTHER_SUBNET),
            ("port", world::PORT),
            ("bound_port", world::BOUND_PORT),
            ("foreign_port", world::FOREIGN_PORT),
            ("wide_port", world::WIDE_PORT),
            ("group", world::GROUP),
            ("qos", world::QOS_POLICY),
            ("absent", world::ABSENT),
        ] {
            names.set(name, id);
        }
        for length in [36, 37, 61, 63, 64, 65, 128, 129, 247, 254, 255, 256, 2048, 2049, 4096, 4097] {
            names.set(&format!("x{length}"), "x".repeat(length));
        }
        names.set("long", "x".repeat(256));
        names.set("blanks4094", " ".repeat(4094));
        names
    }

    pub(crate) fn set(&mut self, name: &str, value: impl Into<String>) {
        self.0.insert(name.to_owned(), value.into());
    }

    /// Replaces `$name` by what it stands for; longer names first, so that `$pool` leaves `$pool_x` alone.
    pub(crate) fn expand(&self, text: &str) -> String {
        if !text.contains('$') {
            return text.to_owned();
        }
        let mut names: Vec<_> = self.0.iter().collect();
        names.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        names.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("${name}"), value))
    }
}
