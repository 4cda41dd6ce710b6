//! The addresses of one node, which are this machine's own: nobody else routes them.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, anyhow};
use serde::{Deserialize, Serialize};

use crate::exec;

/// The second numbers of the networks `10.x.0.0/16` that nodes take.
const CHOICE: std::ops::Range<u8> = 213..245;

/// `10.x.0.0/16`: pods, Services and the link between this machine and the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    number: u8,
}

impl Network {
    /// One that neither a route nor another node of ours uses.
    pub fn free() -> Result<Self> {
        let routes = exec::output(Command::new("ip").args(["-4", "route", "show"]))?;
        CHOICE
            .map(|number| Self { number })
            .find(|network| !network.routed(&routes) && !Path::new("/sys/class/net").join(network.link()).exists())
            .ok_or_else(|| {
                anyhow!("this machine routes all of 10.213.0.0 to 10.244.255.255, where the node would live")
            })
    }

    /// Everything.
    pub fn whole(self) -> String {
        format!("10.{}.0.0/16", self.number)
    }

    /// The pods.
    pub fn pods(self) -> String {
        format!("10.{}.0.0/17", self.number)
    }

    /// The Services.
    pub fn services(self) -> String {
        format!("10.{}.128.0/18", self.number)
    }

    /// The first Service, which is that of the API server.
    pub fn first_service(self) -> Ipv4Addr {
        self.address(128, 1)
    }

    /// The pods' way out, and their name service.
    pub fn bridge(self) -> Ipv4Addr {
        self.address(0, 1)
    }

    /// This machine, as the node sees it.
    pub fn host(self) -> Ipv4Addr {
        self.address(255, 1)
    }

    /// The node.
    pub fn node(self) -> Ipv4Addr {
        self.address(255, 2)
    }

    /// This machine's end of the link. Such a name has at most 15 characters.
    pub fn link(self) -> String {
        format!("odoofleet{}", self.number)
    }

    /// The group of all processes of its pods.
    pub fn cgroup(self) -> String {
        format!("odoofleet-{}", self.number)
    }

    fn address(self, third: u8, last: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, self.number, third, last)
    }

    /// Whether a route other than the default one leads into it or contains it.
    fn routed(self, routes: &str) -> bool {
        let ours = u32::from(self.address(0, 0));
        routes.lines().filter_map(|line| destination(line.split_whitespace().next()?)).any(|(address, bits)| {
            let mask = u32::MAX.checked_shl(32 - bits.min(16)).unwrap_or(0);
            bits > 0 && address & mask == ours & mask
        })
    }
}

fn destination(text: &str) -> Option<(u32, u32)> {
    let (address, bits) = text.split_once('/').unwrap_or((text, "32"));
    Some((u32::from(address.parse::<Ipv4Addr>().ok()?), bits.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_routed_already_is_left_alone() {
        let network = Network { number: 213 };
        for route in
            ["10.213.4.0/24 dev x", "10.213.0.1 dev x", "10.0.0.0/8 via 192.0.2.9 dev x", "10.212.0.0/15 dev x"]
        {
            assert!(network.routed(&format!("default via 192.0.2.1 dev eth0\n{route}\n")), "{route}");
        }
        assert!(!network.routed("default via 192.0.2.1 dev eth0\n192.0.2.0/24 dev eth0\n10.214.0.0/16 dev y\n"));
    }

    #[test]
    fn the_parts_do_not_overlap() {
        let network = Network { number: 213 };
        assert_eq!((network.pods().as_str(), network.services().as_str()), ("10.213.0.0/17", "10.213.128.0/18"));
        assert_eq!(network.first_service().to_string(), "10.213.128.1");
        assert_eq!(network.node().to_string(), "10.213.255.2");
        assert!(Network { number: 255 }.link().len() <= 15);
    }
}
