//! Wake-on-LAN: a magic packet by UDP to the broadcast address of the hosts' network.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use ananke_core::engine::Permit;
use ananke_core::name::{MacAddress, NodeName};
use ananke_core::port::{ErrorKind, PortError, PowerActions};
use async_trait::async_trait;
use tokio::net::UdpSocket;
use tokio::time::sleep;

/// Nothing answers a packet, and a switch may drop one.
const COPIES: usize = 3;
const APART: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(crate) struct WakeOnLan {
    to: SocketAddr,
}

impl WakeOnLan {
    pub(crate) fn new(to: SocketAddr) -> Self {
        Self { to }
    }

    async fn send(&self, packet: &[u8]) -> io::Result<()> {
        let any: SocketAddr =
            if self.to.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
        let socket = UdpSocket::bind(any).await?;
        socket.set_broadcast(self.to.is_ipv4())?;
        for copy in 0..COPIES {
            if copy > 0 {
                sleep(APART).await;
            }
            socket.send_to(packet, self.to).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl PowerActions for WakeOnLan {
    async fn wake(&self, node: &NodeName, mac: &MacAddress, permit: &Permit) -> Result<(), PortError> {
        tracing::debug!(%node, %mac, run = %permit.run(), seq = permit.seq(), "waking");
        self.send(&magic_packet(mac)).await.map_err(|error| {
            let tried = format!("send a magic packet to {}", self.to);
            let remedy = "set power.wol_address to the broadcast address of the hosts' network, such as 192.168.1.255:9";
            PortError::new(ErrorKind::Transient, &tried, node, error).with_remedy(remedy)
        })
    }
}

/// Six bytes 0xff, and the card's address sixteen times.
fn magic_packet(mac: &MacAddress) -> Vec<u8> {
    let mut packet = vec![0xff; 6];
    packet.extend(mac.octets().repeat(16));
    packet
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_packet_arrives_in_copies() {
        let card = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let mac = MacAddress::parse("52:54:00:12:34:56").unwrap();
        WakeOnLan::new(card.local_addr().unwrap()).send(&magic_packet(&mac)).await.unwrap();
        for _ in 0..COPIES {
            let mut datagram = [0; 200];
            let (length, _) = card.recv_from(&mut datagram).await.unwrap();
            assert_eq!(length, 102);
            assert_eq!(datagram[..12], [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x52, 0x54, 0, 0x12, 0x34, 0x56]);
        }
    }
}
