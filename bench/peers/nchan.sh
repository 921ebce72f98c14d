#!/bin/bash
# The chat on nginx with nchan: nchan.sh PORT DIRECTORY
# Fair to it: one worker, a publish/subscribe WebSocket location, no access log, no compression. It
# passes the client's text on as it is, without reading JSON. A short message buffer stays on:
# without one nchan loses messages that come while a subscriber is not ready.
set -eu
port=$1
dir=$2
nginx=$(command -v nginx || echo /usr/sbin/nginx)
mkdir -p "$dir/logs"
cat >"$dir/nginx.conf" <<CONF
load_module /usr/lib/nginx/modules/ngx_nchan_module.so;
daemon off;
worker_processes 1;
worker_rlimit_nofile $(ulimit -Hn);
pid $dir/nginx.pid;
error_log $dir/logs/error.log crit;
events {
    use epoll;
    worker_connections $(($(ulimit -Hn) - 200));
    multi_accept on;
}
http {
    access_log off;
    tcp_nodelay on;
    client_body_temp_path $dir/body;
    proxy_temp_path $dir/proxy;
    fastcgi_temp_path $dir/fastcgi;
    uwsgi_temp_path $dir/uwsgi;
    scgi_temp_path $dir/scgi;
    nchan_shared_memory_size 512M;
    server {
        listen 127.0.0.1:$port backlog=4096;
        location ~ ^/ws/chat/([^/]+)/\$ {
            nchan_pubsub websocket;
            nchan_channel_id \$1;
            nchan_message_buffer_length 500;
            nchan_message_timeout 10s;
            nchan_subscriber_first_message newest;
        }
    }
}
CONF
exec "$nginx" -p "$dir" -e "$dir/logs/error.log" -c "$dir/nginx.conf"
