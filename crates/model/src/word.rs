//! Words of the API that choose a behaviour.

use crate::text_enum::text_enum;

text_enum! {
    ListenerProtocol {
        Http = "HTTP",
        Https = "HTTPS",
        Tcp = "TCP",
        TerminatedHttps = "TERMINATED_HTTPS",
        Udp = "UDP",
        Sctp = "SCTP",
        Prometheus = "PROMETHEUS",
    }
}

text_enum! {
    /// The transport a port is taken on: two listeners of a load balancer clash when port and transport are equal.
    Transport {
        Tcp = "TCP",
        Udp = "UDP",
        Sctp = "SCTP",
    }
}

impl ListenerProtocol {
    pub const fn transport(self) -> Transport {
        match self {
            Self::Http | Self::Https | Self::Tcp | Self::TerminatedHttps | Self::Prometheus => Transport::Tcp,
            Self::Udp => Transport::Udp,
            Self::Sctp => Transport::Sctp,
        }
    }

    /// Whether a pool may serve a listener (`reference/api.md` §3.3.1).
    pub const fn accepts_pool(self, pool: PoolProtocol) -> bool {
        use PoolProtocol as P;
        match self {
            Self::Tcp => matches!(pool, P::Http | P::Https | P::Proxy | P::ProxyV2 | P::Tcp),
            Self::Http | Self::TerminatedHttps => matches!(pool, P::Http | P::Proxy | P::ProxyV2),
            Self::Https => matches!(pool, P::Https | P::Proxy | P::ProxyV2 | P::Tcp),
            Self::Udp => matches!(pool, P::Udp),
            Self::Sctp => matches!(pool, P::Sctp),
            Self::Prometheus => false,
        }
    }
}

text_enum! {
    PoolProtocol {
        Http = "HTTP",
        Https = "HTTPS",
        Proxy = "PROXY",
        ProxyV2 = "PROXYV2",
        Tcp = "TCP",
        Udp = "UDP",
        Sctp = "SCTP",
    }
}

text_enum! {
    Algorithm {
        RoundRobin = "ROUND_ROBIN",
        LeastConnections = "LEAST_CONNECTIONS",
        SourceIp = "SOURCE_IP",
        SourceIpPort = "SOURCE_IP_PORT",
    }
}

text_enum! {
    HealthMonitorType {
        Http = "HTTP",
        Https = "HTTPS",
        Ping = "PING",
        Tcp = "TCP",
        TlsHello = "TLS-HELLO",
        UdpConnect = "UDP-CONNECT",
        Sctp = "SCTP",
    }
}

impl HealthMonitorType {
    /// HTTP and HTTPS monitors send a request and look at the status of the answer.
    pub const fn is_http(self) -> bool {
        matches!(self, Self::Http | Self::Https)
    }

    /// Whether a pool of this protocol may be monitored so (`reference/api.md` §3.5).
    pub const fn fits_pool(self, pool: PoolProtocol) -> bool {
        match pool {
            PoolProtocol::Udp | PoolProtocol::Sctp => {
                matches!(self, Self::Http | Self::Sctp | Self::Tcp | Self::UdpConnect)
            }
            _ => !matches!(self, Self::Sctp | Self::UdpConnect),
        }
    }
}

text_enum! {
    /// Methods a health monitor may send.
    HttpMethod {
        Get = "GET",
        Head = "HEAD",
        Post = "POST",
        Put = "PUT",
        Delete = "DELETE",
        Trace = "TRACE",
        Options = "OPTIONS",
        Connect = "CONNECT",
        Patch = "PATCH",
    }
}

text_enum! {
    SessionPersistenceType {
        SourceIp = "SOURCE_IP",
        HttpCookie = "HTTP_COOKIE",
        AppCookie = "APP_COOKIE",
    }
}

text_enum! {
    ClientAuthentication {
        None = "NONE",
        Optional = "OPTIONAL",
        Mandatory = "MANDATORY",
    }
}

text_enum! {
    Topology {
        Single = "SINGLE",
        ActiveStandby = "ACTIVE_STANDBY",
    }
}

text_enum! {
    VnicType {
        Normal = "normal",
        Direct = "direct",
    }
}

text_enum! {
    /// What becomes of a request that all rules of an L7 policy match.
    L7PolicyAction {
        Reject = "REJECT",
        RedirectToUrl = "REDIRECT_TO_URL",
        RedirectToPool = "REDIRECT_TO_POOL",
        RedirectPrefix = "REDIRECT_PREFIX",
    }
}

text_enum! {
    /// What of a request an L7 rule looks at.
    L7RuleType {
        HostName = "HOST_NAME",
        Path = "PATH",
        FileType = "FILE_TYPE",
        Header = "HEADER",
        Cookie = "COOKIE",
        SslConnHasCert = "SSL_CONN_HAS_CERT",
        SslVerifyResult = "SSL_VERIFY_RESULT",
        SslDnField = "SSL_DN_FIELD",
    }
}

text_enum! {
    L7RuleCompareType {
        Regex = "REGEX",
        StartsWith = "STARTS_WITH",
        EndsWith = "ENDS_WITH",
        Contains = "CONTAINS",
        EqualTo = "EQUAL_TO",
    }
}
