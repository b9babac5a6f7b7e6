//! The short way to a whole load balancer: `--listener HTTP:8080 --member 127.0.0.1:8081 --monitor TCP`.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use serde_json::{Map, Value, json};

use crate::Error;

/// `PROTOCOL:PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerSpec {
    pub protocol: String,
    pub port: u16,
}

impl FromStr for ListenerSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (protocol, port) =
            text.split_once(':').ok_or_else(|| format!("{text:?} is not PROTOCOL:PORT, such as HTTP:80"))?;
        if protocol.is_empty() {
            return Err("the protocol is missing before the colon".to_owned());
        }
        Ok(Self { protocol: protocol.to_ascii_uppercase(), port: port_number(port)? })
    }
}

impl ListenerSpec {
    /// The protocol of a pool that can serve it; `None` = it answers by itself.
    fn pool_protocol(&self) -> Option<&str> {
        match self.protocol.as_str() {
            "PROMETHEUS" => None,
            "TERMINATED_HTTPS" => Some("HTTP"),
            other => Some(other),
        }
    }
}

/// `ADDRESS:PORT` or `ADDRESS:PORT@WEIGHT`; IPv6 addresses in brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberSpec {
    pub address: IpAddr,
    pub port: u16,
    /// `None` = the service's default, 1.
    pub weight: Option<u16>,
}

impl FromStr for MemberSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (place, weight) = match text.rsplit_once('@') {
            Some((place, weight)) => {
                let weight: u16 = weight.parse().map_err(|_| format!("{weight:?} is not a weight"))?;
                if weight > 256 {
                    return Err(format!("the weight is {weight}, allowed is 0-256"));
                }
                (place, Some(weight))
            }
            None => (text, None),
        };
        let socket: SocketAddr = place
            .parse()
            .map_err(|_| format!("{place:?} is not ADDRESS:PORT, such as 10.0.0.5:80 or [fd00::5]:80"))?;
        if socket.port() == 0 {
            return Err("the port is 0, allowed is 1-65535".to_owned());
        }
        Ok(Self { address: socket.ip(), port: socket.port(), weight })
    }
}

impl MemberSpec {
    pub(crate) fn body(&self) -> Value {
        let mut body = json!({ "address": self.address.to_string(), "protocol_port": self.port });
        if let Some(weight) = self.weight {
            body["weight"] = weight.into();
        }
        body
    }
}

/// `TYPE`, then any of `path=`, `delay=`, `timeout=`, `rise=`, `fall=`, `codes=`, separated by commas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MonitorSpec {
    pub kind: String,
    pub path: Option<String>,
    /// Good status codes, as the API takes them, except that commas are not possible here.
    pub codes: Option<String>,
    /// Seconds.
    pub delay: u32,
    /// Seconds.
    pub timeout: u32,
    pub rise: u8,
    pub fall: u8,
}

impl MonitorSpec {
    /// Every 5 s, 3 s to answer, good after 2 successes, bad after 3 failures.
    pub fn new(kind: impl Into<String>) -> Self {
        Self { kind: kind.into(), path: None, codes: None, delay: 5, timeout: 3, rise: 2, fall: 3 }
    }

    fn body(&self) -> Value {
        let mut body = json!({
            "type": self.kind, "delay": self.delay, "timeout": self.timeout,
            "max_retries": self.rise, "max_retries_down": self.fall,
        });
        if let Some(path) = &self.path {
            body["url_path"] = path.as_str().into();
        }
        if let Some(codes) = &self.codes {
            body["expected_codes"] = codes.as_str().into();
        }
        body
    }
}

impl FromStr for MonitorSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(',');
        let kind = parts.next().filter(|k| !k.is_empty()).ok_or("the type is missing")?;
        let mut spec = Self::new(kind.to_ascii_uppercase());
        for part in parts {
            let (key, value) = part.split_once('=').ok_or_else(|| format!("{part:?} is not KEY=VALUE"))?;
            let number = || value.parse().map_err(|_| format!("{key}: {value:?} is not a number of seconds"));
            let count = || match value.parse() {
                Ok(n @ 1..=10) => Ok(n),
                _ => Err(format!("{key}: {value:?} is not a number from 1 to 10")),
            };
            match key {
                "path" => spec.path = Some(value.to_owned()),
                "codes" => spec.codes = Some(value.to_owned()),
                "delay" => spec.delay = number()?,
                "timeout" => spec.timeout = number()?,
                "rise" => spec.rise = count()?,
                "fall" => spec.fall = count()?,
                _ => return Err(format!("{key:?} is not one of path, codes, delay, timeout, rise, fall")),
            }
        }
        Ok(spec)
    }
}

fn port_number(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err(format!("{text:?} is not a port from 1 to 65535")),
        Ok(port) => Ok(port),
    }
}

/// What goes below a load balancer in one call: every listener gets a pool of its protocol with all the members.
#[derive(Debug, Clone, Default)]
pub struct Populated {
    pub listeners: Vec<ListenerSpec>,
    pub members: Vec<MemberSpec>,
    pub monitor: Option<MonitorSpec>,
    /// Empty = `ROUND_ROBIN`.
    pub algorithm: String,
}

impl Populated {
    /// Adds `listeners` and `pools` to the body of a load balancer's create.
    ///
    /// # Errors
    /// There are members, and no listener has a pool for them.
    pub fn fill(&self, body: &mut Map<String, Value>) -> Result<(), Error> {
        let mut pools: Vec<&str> = vec![];
        let mut listeners = vec![];
        for listener in &self.listeners {
            let mut entry = json!({
                "name": format!("{}-{}", listener.protocol.to_ascii_lowercase(), listener.port),
                "protocol": listener.protocol,
                "protocol_port": listener.port,
            });
            if let Some(protocol) = listener.pool_protocol().filter(|_| !self.members.is_empty()) {
                if !pools.contains(&protocol) {
                    pools.push(protocol);
                }
                entry["default_pool"] = json!({ "name": pool_name(protocol) });
            }
            listeners.push(entry);
        }
        let pools: Vec<Value> = pools
            .into_iter()
            .map(|protocol| {
                let algorithm = if self.algorithm.is_empty() { "ROUND_ROBIN" } else { &self.algorithm };
                let mut pool = json!({
                    "name": pool_name(protocol),
                    "protocol": protocol,
                    "lb_algorithm": algorithm,
                    "members": self.members.iter().map(MemberSpec::body).collect::<Vec<_>>(),
                });
                if let Some(monitor) = &self.monitor {
                    pool["healthmonitor"] = monitor.body();
                }
                pool
            })
            .collect();
        if pools.is_empty() && !self.members.is_empty() {
            return Err(Error::Usage("members need a listener that takes requests to them".to_owned()));
        }
        if !listeners.is_empty() {
            body.insert("listeners".to_owned(), listeners.into());
        }
        if !pools.is_empty() {
            body.insert("pools".to_owned(), pools.into());
        }
        Ok(())
    }
}

fn pool_name(protocol: &str) -> String {
    format!("{}-members", protocol.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners() {
        let ok = |text: &str, protocol: &str, port| {
            assert_eq!(text.parse(), Ok(ListenerSpec { protocol: protocol.to_owned(), port }));
        };
        ok("HTTP:80", "HTTP", 80);
        ok("tcp:65535", "TCP", 65535);
        for text in ["", "80", "HTTP", "HTTP:", "HTTP:0", "HTTP:65536", ":80", "HTTP:80:80", "HTTP:-1"] {
            assert!(text.parse::<ListenerSpec>().is_err(), "{text}");
        }
    }

    #[test]
    fn members() {
        let ok = |text: &str, address: &str, port, weight| {
            let address = address.parse().unwrap();
            assert_eq!(text.parse(), Ok(MemberSpec { address, port, weight }));
        };
        ok("127.0.0.1:8081", "127.0.0.1", 8081, None);
        ok("127.0.0.1:8081@0", "127.0.0.1", 8081, Some(0));
        ok("[::1]:80@256", "::1", 80, Some(256));
        for text in [
            "",
            "127.0.0.1",
            "127.0.0.1:0",
            "host:80",
            "::1:80",
            "127.0.0.1:80@257",
            "127.0.0.1:80@",
            "1.2.3.4:80@x",
        ] {
            assert!(text.parse::<MemberSpec>().is_err(), "{text}");
        }
    }

    #[test]
    fn monitors() {
        let spec: MonitorSpec =
            "http,path=/h?a=b,delay=1,timeout=2,rise=1,fall=10,codes=200-299".parse().unwrap();
        let expected = MonitorSpec {
            kind: "HTTP".into(),
            path: Some("/h?a=b".into()),
            codes: Some("200-299".into()),
            delay: 1,
            timeout: 2,
            rise: 1,
            fall: 10,
        };
        assert_eq!(spec, expected);
        assert_eq!("tls-hello".parse(), Ok(MonitorSpec::new("TLS-HELLO")));
        for text in
            ["", ",delay=1", "HTTP,delay", "HTTP,delay=x", "HTTP,rise=0", "HTTP,fall=11", "HTTP,color=red"]
        {
            assert!(text.parse::<MonitorSpec>().is_err(), "{text}");
        }
    }

    #[test]
    fn one_pool_a_protocol_with_all_members() {
        let populated = Populated {
            listeners: ["HTTP:80", "HTTP:8080", "TCP:25", "PROMETHEUS:9100"]
                .map(|t| t.parse().unwrap())
                .to_vec(),
            members: vec!["10.0.0.1:80@2".parse().unwrap()],
            monitor: Some(MonitorSpec::new("TCP")),
            algorithm: String::new(),
        };
        let mut body = Map::new();
        populated.fill(&mut body).unwrap();
        let pool = |name: &str, protocol: &str| {
            json!({
                "name": name, "protocol": protocol, "lb_algorithm": "ROUND_ROBIN",
                "members": [{ "address": "10.0.0.1", "protocol_port": 80, "weight": 2 }],
                "healthmonitor": { "type": "TCP", "delay": 5, "timeout": 3, "max_retries": 2, "max_retries_down": 3 },
            })
        };
        let listener = |name: &str, protocol: &str, port: u16, pool: &str| json!({ "name": name, "protocol": protocol, "protocol_port": port, "default_pool": { "name": pool } });
        let expected = json!({
            "listeners": [
                listener("http-80", "HTTP", 80, "http-members"),
                listener("http-8080", "HTTP", 8080, "http-members"),
                listener("tcp-25", "TCP", 25, "tcp-members"),
                json!({ "name": "prometheus-9100", "protocol": "PROMETHEUS", "protocol_port": 9100 }),
            ],
            "pools": [pool("http-members", "HTTP"), pool("tcp-members", "TCP")],
        });
        assert_eq!(Value::from(body), expected);
        let mut body = Map::new();
        Populated::default().fill(&mut body).unwrap();
        assert!(body.is_empty());
        let homeless = Populated { listeners: vec!["PROMETHEUS:9100".parse().unwrap()], ..populated };
        assert!(matches!(homeless.fill(&mut body), Err(Error::Usage(_))) && body.is_empty());
    }
}
