//! Magic packets of Wake-on-LAN, as network cards take them: six bytes 0xff and the card's address sixteen times, anywhere in
//! a datagram.

use std::io;
use std::sync::Arc;

use ananke_core::name::MacAddress;
use tokio::net::UdpSocket;

use super::cluster::Cluster;

const HEAD: [u8; 6] = [0xff; 6];
const REPEATED: usize = 16;

/// Wakes the hosts that packets are for.
pub async fn run(socket: UdpSocket, cluster: Arc<Cluster>) -> io::Result<()> {
    let mut buffer = [0; 1024];
    loop {
        let (length, _) = socket.recv_from(&mut buffer).await?;
        let Some(mac) = buffer.get(..length).and_then(addressed) else { continue };
        cluster.note(&format!("WAKE {mac}"));
        cluster.act(|world| world.wake_on_lan(&mac));
    }
}

/// The card that the datagram is for.
fn addressed(datagram: &[u8]) -> Option<MacAddress> {
    let after = |at: usize| datagram.get(at..)?.strip_prefix(&HEAD)?.get(..6 * REPEATED);
    let body = (0..datagram.len()).find_map(after)?;
    let mac = body.get(..6)?;
    let text = mac.iter().map(|octet| format!("{octet:02x}")).collect::<Vec<_>>().join(":");
    body.chunks(6).all(|part| part == mac).then(|| MacAddress::parse(&text).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_packet_wakes_a_host() {
        let mac = [0x52, 0x54, 0, 0, 0, 9];
        let mut packet = HEAD.to_vec();
        packet.extend(mac.repeat(REPEATED));
        assert_eq!(addressed(&packet).unwrap().as_str(), "52:54:00:00:00:09");
        let framed: Vec<u8> = [&b"GET"[..], &packet, b"tail"].concat();
        assert!(addressed(&framed).is_some());
        assert_eq!(addressed(&packet[..packet.len() - 1]), None);
        packet[50] ^= 1;
        assert_eq!(addressed(&packet), None);
        assert_eq!(addressed(&[]), None);
    }
}
