//! The bodies of `POST` and `PUT` for ports, checked attribute by attribute as Neutron does.

use octavia_model::NetworkId;
use serde_json::{Map, Value};

use super::book::{NewPort, Port, PortUpdate, Wish};

/// Of names, descriptions and devices, in characters.
const TEXT_MAX: usize = 255;

/// Attributes that ports have elsewhere, and the only value they have here.
const FIXED: &[(&str, &[&str])] = &[
    ("security_groups", &["[]", "null"]),
    ("qos_policy_id", &["null", "\"\""]),
    ("allowed_address_pairs", &["[]", "null"]),
    ("extra_dhcp_opts", &["[]", "null"]),
    ("port_security_enabled", &["false"]),
    ("dns_name", &["\"\""]),
    ("binding:vnic_type", &["\"normal\""]),
    ("binding:profile", &["{}", "null"]),
    ("binding:host_id", &["\"\"", "null"]),
    ("tags", &["[]"]),
];

/// The same where ports have interfaces.
const FIXED_WITH_INTERFACES: &[(&str, &[&str])] = &[("port_security_enabled", &["true"])];

/// A sentence for the user.
pub(super) type Malformed = String;

/// `project` = the caller's; another one is for administrators, and the caller of this decides. `interfaces` = ports have
/// some.
pub(super) fn port_create(body: &[u8], project: &str, interfaces: bool) -> Result<NewPort, Malformed> {
    let mut port = Attributes::parse(body, "port")?;
    let network_id: NetworkId = port
        .take("network_id")
        .as_ref()
        .and_then(Value::as_str)
        .and_then(|text| text.parse().ok())
        .ok_or("network_id is missing, or not a UUID.")?;
    let fixed_ips = fixed_ips(port.take("fixed_ips"))?;
    let project_id = match (port.text("project_id")?, port.text("tenant_id")?) {
        (Some(project), Some(tenant)) if project != tenant => {
            return Err("project_id and tenant_id differ.".into());
        }
        (given, tenant) => given.or(tenant).unwrap_or_else(|| project.to_owned()),
    };
    let request = NewPort {
        network_id,
        fixed_ips,
        project_id,
        name: port.text("name")?.unwrap_or_default(),
        description: port.text("description")?.unwrap_or_default(),
        admin_state_up: port.flag("admin_state_up")?.unwrap_or(true),
        device_id: port.text("device_id")?.unwrap_or_default(),
        device_owner: port.text("device_owner")?.unwrap_or_default(),
    };
    port.end(interfaces)?;
    Ok(request)
}

/// `now` = the port as it is: its address may be said again, but not changed.
pub(super) fn port_update(body: &[u8], now: &Port, interfaces: bool) -> Result<PortUpdate, Malformed> {
    let mut port = Attributes::parse(body, "port")?;
    if let Some(wishes) = port.take("fixed_ips") {
        let wishes = fixed_ips(Some(wishes))?;
        let is_there = |wish: &Wish| {
            now.fixed_ips.iter().any(|fixed| {
                wish.address == Some(fixed.address)
                    && wish.subnet_id.is_none_or(|subnet| subnet == fixed.subnet_id)
            })
        };
        if wishes.len() != now.fixed_ips.len() || !wishes.iter().all(is_there) {
            return Err("The addresses of a port cannot be changed here: make another port.".into());
        }
    }
    let update = PortUpdate {
        name: port.text("name")?,
        description: port.text("description")?,
        admin_state_up: port.flag("admin_state_up")?,
        device_id: port.text("device_id")?,
        device_owner: port.text("device_owner")?,
    };
    port.end(interfaces)?;
    Ok(update)
}

/// More than a network has subnets.
const FIXED_IPS_MAX: usize = 8;

fn fixed_ips(value: Option<Value>) -> Result<Vec<Wish>, Malformed> {
    let malformed = || Malformed::from("fixed_ips is not a list of subnet_id and ip_address.");
    match value {
        None | Some(Value::Null) => Ok(vec![]),
        Some(Value::Array(list)) if (1..=FIXED_IPS_MAX).contains(&list.len()) => {
            list.iter().map(|entry| fixed_ip(entry).ok_or_else(malformed)).collect()
        }
        Some(_) => Err(malformed()),
    }
}

/// `None` = not such a thing.
fn fixed_ip(entry: &Value) -> Option<Wish> {
    let entry = entry.as_object()?;
    if entry.keys().any(|key| key != "subnet_id" && key != "ip_address") {
        return None;
    }
    let text = |key| match entry.get(key) {
        None | Some(Value::Null) => Some(None),
        Some(value) => value.as_str().map(Some),
    };
    Some(Wish {
        subnet_id: text("subnet_id")?.map(str::parse).transpose().ok()?,
        address: text("ip_address")?.map(str::parse).transpose().ok()?,
    })
}

/// The attributes of a `{"port": {…}}`, or of another kind, not yet read.
pub(super) struct Attributes(Map<String, Value>);

impl Attributes {
    pub(super) fn parse(body: &[u8], kind: &str) -> Result<Self, Malformed> {
        let body: Value = serde_json::from_slice(body).map_err(|_| "The body is not JSON.")?;
        let mut body = match body {
            Value::Object(body) => body,
            _ => return Err("The body is not a JSON object.".into()),
        };
        if body.contains_key("ports") {
            return Err("Ports are made one by one here.".into());
        }
        match body.remove(kind) {
            Some(Value::Object(attributes)) if body.is_empty() => Ok(Self(attributes)),
            _ => Err(format!("The body is not {{\"{kind}\": {{…}}}}.")),
        }
    }

    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name)
    }

    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, Malformed> {
        match self.take(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.chars().count() <= TEXT_MAX => Ok(Some(text)),
            Some(_) => Err(format!("{name} is not a text of at most {TEXT_MAX} characters.")),
        }
    }

    pub(super) fn flag(&mut self, name: &str) -> Result<Option<bool>, Malformed> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(_) => Err(format!("{name} is neither true nor false.")),
        }
    }

    fn end(mut self, interfaces: bool) -> Result<(), Malformed> {
        let fixed = FIXED.iter().filter(|(name, _)| {
            !(interfaces && FIXED_WITH_INTERFACES.iter().any(|(other, _)| name == other))
        });
        let with_interfaces = FIXED_WITH_INTERFACES.iter().filter(|_| interfaces);
        for (name, values) in fixed.chain(with_interfaces) {
            if let Some(value) = self.take(name)
                && !values.contains(&value.to_string().as_str())
            {
                return Err(format!("{name} can only be {} here.", values.join(" or ")));
            }
        }
        self.nothing_else()
    }

    /// A number up to `u32::MAX`.
    pub(super) fn number(&mut self, name: &str) -> Result<Option<u32>, Malformed> {
        match self.take(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => {
                let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
                number.map(Some).ok_or_else(|| format!("{name} is not a number from 0 to {}.", u32::MAX))
            }
        }
    }

    pub(super) fn nothing_else(self) -> Result<(), Malformed> {
        match self.0.keys().next() {
            None => Ok(()),
            Some(name) => Err(format!("Unrecognized attribute(s) '{name}'")),
        }
    }
}
