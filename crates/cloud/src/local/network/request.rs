//! The bodies of `POST` and `PUT` for ports, checked attribute by attribute as Neutron does.

use octavia_model::{NetworkId, SubnetId};
use serde_json::{Map, Value};

use super::book::{Port, PortRequest, PortUpdate};

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

/// A sentence for the user.
pub(super) type Malformed = String;

/// `project` = the caller's; another one is for administrators, and the caller of this decides.
pub(super) fn port_create(body: &[u8], project: &str) -> Result<PortRequest, Malformed> {
    let mut port = Attributes::parse(body)?;
    let network_id: NetworkId = port
        .take("network_id")
        .as_ref()
        .and_then(Value::as_str)
        .and_then(|text| text.parse().ok())
        .ok_or("network_id is missing, or not a UUID.")?;
    let (subnet_id, address) = fixed_ip(port.take("fixed_ips"))?;
    let project_id = match (port.text("project_id")?, port.text("tenant_id")?) {
        (Some(project), Some(tenant)) if project != tenant => {
            return Err("project_id and tenant_id differ.".into());
        }
        (given, tenant) => given.or(tenant).unwrap_or_else(|| project.to_owned()),
    };
    let request = PortRequest {
        network_id,
        subnet_id,
        address,
        project_id,
        name: port.text("name")?.unwrap_or_default(),
        description: port.text("description")?.unwrap_or_default(),
        admin_state_up: port.flag("admin_state_up")?.unwrap_or(true),
        device_id: port.text("device_id")?.unwrap_or_default(),
        device_owner: port.text("device_owner")?.unwrap_or_default(),
    };
    port.end()?;
    Ok(request)
}

/// `now` = the port as it is: its address may be said again, but not changed.
pub(super) fn port_update(body: &[u8], now: &Port) -> Result<PortUpdate, Malformed> {
    let mut port = Attributes::parse(body)?;
    if let Some(fixed_ips) = port.take("fixed_ips") {
        let (subnet_id, address) = fixed_ip(Some(fixed_ips))?;
        let same = address.is_some_and(|address| address == now.address)
            && subnet_id.is_none_or(|subnet| subnet == now.subnet_id);
        if !same {
            return Err("The address of a port cannot be changed here: make another port.".into());
        }
    }
    let update = PortUpdate {
        name: port.text("name")?,
        description: port.text("description")?,
        admin_state_up: port.flag("admin_state_up")?,
        device_id: port.text("device_id")?,
        device_owner: port.text("device_owner")?,
    };
    port.end()?;
    Ok(update)
}

type FixedIp = (Option<SubnetId>, Option<std::net::IpAddr>);

fn fixed_ip(value: Option<Value>) -> Result<FixedIp, Malformed> {
    let malformed = || Malformed::from("fixed_ips is not a list of subnet_id and ip_address.");
    let list = match value {
        None | Some(Value::Null) => return Ok((None, None)),
        Some(Value::Array(list)) => list,
        Some(_) => return Err(malformed()),
    };
    let [entry] = list.as_slice() else { return Err("A port has one address here.".into()) };
    let entry = entry.as_object().ok_or_else(malformed)?;
    if entry.keys().any(|key| key != "subnet_id" && key != "ip_address") {
        return Err(malformed());
    }
    let text = |key| match entry.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value.as_str().map(Some).ok_or_else(malformed),
    };
    Ok((
        text("subnet_id")?.map(str::parse).transpose().map_err(|_| malformed())?,
        text("ip_address")?.map(str::parse).transpose().map_err(|_| malformed())?,
    ))
}

/// The attributes of a `{"port": {…}}` not yet read.
struct Attributes(Map<String, Value>);

impl Attributes {
    fn parse(body: &[u8]) -> Result<Self, Malformed> {
        let body: Value = serde_json::from_slice(body).map_err(|_| "The body is not JSON.")?;
        let mut body = match body {
            Value::Object(body) => body,
            _ => return Err("The body is not a JSON object.".into()),
        };
        if body.contains_key("ports") {
            return Err("Ports are made one by one here.".into());
        }
        match body.remove("port") {
            Some(Value::Object(port)) if body.is_empty() => Ok(Self(port)),
            _ => Err("The body is not {\"port\": {…}}.".into()),
        }
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name)
    }

    fn text(&mut self, name: &str) -> Result<Option<String>, Malformed> {
        match self.take(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.chars().count() <= TEXT_MAX => Ok(Some(text)),
            Some(_) => Err(format!("{name} is not a text of at most {TEXT_MAX} characters.")),
        }
    }

    fn flag(&mut self, name: &str) -> Result<Option<bool>, Malformed> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(_) => Err(format!("{name} is neither true nor false.")),
        }
    }

    fn end(mut self) -> Result<(), Malformed> {
        for (name, values) in FIXED {
            if let Some(value) = self.take(name)
                && !values.contains(&value.to_string().as_str())
            {
                return Err(format!("{name} can only be {} here.", values.join(" or ")));
            }
        }
        match self.0.keys().next() {
            None => Ok(()),
            Some(name) => Err(format!("Unrecognized attribute(s) '{name}'")),
        }
    }
}
