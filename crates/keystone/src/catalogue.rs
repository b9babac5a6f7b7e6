//! Where services are.

use serde::Deserialize;

/// The services of a cloud, as a token tells them.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Catalogue(Vec<Entry>);

#[derive(Debug, Clone, Deserialize)]
struct Entry {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    endpoints: Vec<Endpoint>,
}

#[derive(Debug, Clone, Deserialize)]
struct Endpoint {
    #[serde(default)]
    interface: String,
    #[serde(default)]
    region_id: Option<String>,
    #[serde(default)]
    region: Option<String>,
    url: String,
}

/// A service to find there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Such as `key-manager`.
    pub kind: &'static str,
    /// Where there are several of the kind.
    pub name: Option<String>,
    /// `public`, `internal` or `admin`; the older `publicURL` and so on are the same.
    pub interface: String,
    /// `None` = any.
    pub region: Option<String>,
}

impl Catalogue {
    pub(super) fn endpoint(&self, wanted: &Wanted) -> Option<&str> {
        let interface = wanted.interface.strip_suffix("URL").unwrap_or(&wanted.interface);
        let named = |entry: &&Entry| wanted.name.as_ref().is_none_or(|name| *name == entry.name);
        let here = |endpoint: &&Endpoint| {
            let regions = [endpoint.region_id.as_deref(), endpoint.region.as_deref()];
            let region = wanted.region.as_deref();
            endpoint.interface == interface && region.is_none_or(|region| regions.contains(&Some(region)))
        };
        let services = self.0.iter().filter(|entry| entry.kind == wanted.kind).filter(named);
        services.flat_map(|entry| &entry.endpoints).find(here).map(|endpoint| endpoint.url.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_fits() {
        let catalogue: Catalogue = serde_json::from_value(serde_json::json!([
            { "type": "identity", "name": "keystone", "endpoints": [
                { "interface": "public", "region_id": "one", "url": "http://identity" } ] },
            { "type": "key-manager", "name": "old", "endpoints": [] },
            { "type": "key-manager", "name": "barbican", "endpoints": [
                { "interface": "public", "region_id": "one", "url": "http://one" },
                { "interface": "internal", "region": "one", "url": "http://inside" },
                { "interface": "public", "region_id": "two", "region": "two", "url": "http://two" } ] },
        ]))
        .unwrap();
        for (name, interface, region, found) in [
            (None, "public", None, Some("http://one")),
            (None, "publicURL", Some("two"), Some("http://two")),
            (None, "internalURL", Some("one"), Some("http://inside")),
            (Some("barbican"), "internal", None, Some("http://inside")),
            (Some("old"), "public", None, None),
            (None, "admin", None, None),
            (None, "public", Some("three"), None),
        ] {
            let (name, region) = (name.map(str::to_owned), region.map(str::to_owned));
            let wanted = Wanted { kind: "key-manager", name, interface: interface.to_owned(), region };
            assert_eq!(catalogue.endpoint(&wanted), found, "{wanted:?}");
        }
    }
}
