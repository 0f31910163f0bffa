# The loop of the original demo, rebuilt for comparison: all tunnels in one namespace, and for each switch one route deleted
# and another added. Uses the keys and peers of the deployed client, whose own tunnel is down. Needs root.
set -eu
exit_address=$1 web_address=$2
config=/etc/wg-migrate/config.json
value() { python3 -c "import json,sys; c=json.load(open('$config')); print($1)"; }
keys=$(value "c['key_directory']")
overlay=$(value "c['overlay_address']")
inner=$(value "c['inner_address']")

tunnel() { # DEVICE PEER PUBLIC_KEY ENDPOINT ADDRESS MARK
	if ! ip link add dev "$1" type wireguard 2>/dev/null; then
		wireguard-go "$1" >/dev/null 2>&1
	fi
	wg set "$1" private-key "$keys/$2.key" fwmark "$6" peer "$3" preshared-key "$keys/$2.psk" endpoint "$4" \
		allowed-ips 0.0.0.0/0 persistent-keepalive 20
	ip address add "$5/32" dev "$1"
	ip link set dev "$1" mtu 1420 up
}

clean() {
	for device in wg0 wgnet1 wgnet2; do ip link delete dev "$device" 2>/dev/null || echo "no $device"; done
	while ip rule delete fwmark 0x100 table 100 2>/dev/null; do :; done
}
trap clean EXIT

for number in 0 1; do
	tunnel "wgnet$((number + 1))" "$(value "c['paths'][$number]['proxy']")" "$(value "c['paths'][$number]['public_key']")" \
		"$(value "c['paths'][$number]['address']"):51820" "$overlay" 0
done
ip rule add fwmark 0x100 table 100
ip route add default dev wgnet1 table 100
tunnel wg0 "$(value "c['exit']['name']")" "$(value "c['exit']['public_key']")" "$exit_address:51820" "$inner" 0x100
ip route add "$web_address/32" dev wg0
sleep 3

iperf3 -c "$web_address" -t 6 >/dev/null &
download=$!
from=1 to=2
while kill -0 "$download" 2>/dev/null; do
	ip route delete default dev "wgnet$from" table 100
	ip route add default dev "wgnet$to" table 100
	sleep 0.1
	set -- "$from" "$to"; from=$2 to=$1
done
