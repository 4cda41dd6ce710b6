{{- define "odoo.hasProxy" -}}
{{- if or .Values.proxy.enabled (eq (include "odoo.expose" .) "NodePort") }}true{{ end -}}
{{- end }}

{{/* The start of nginx.conf that the proxy and the page share: everything that is written lies in /tmp. */}}
{{- define "odoo.nginx" -}}
worker_processes 1;
worker_shutdown_timeout 60s;
pid /tmp/nginx.pid;
error_log stderr warn;
events { worker_connections 1024; }
http {
  access_log off;
  server_tokens off;
  client_body_temp_path /tmp/body;
  proxy_temp_path /tmp/proxy;
  fastcgi_temp_path /tmp/fastcgi;
  uwsgi_temp_path /tmp/uwsgi;
  scgi_temp_path /tmp/scgi;
{{- end }}

{{- define "odoo.proxyConfig" -}}
{{- $proxy := .Values.proxy -}}
{{ include "odoo.nginx" . }}
  # What a stranger says about itself is not believed: Odoo in proxy_mode takes links and addresses from it.
  geo $realip_remote_addr $trusted {
    default 0;
    {{- range $proxy.trustedCidrs }}
    {{ . }} 1;
    {{- end }}
  }
  {{- range $proxy.trustedCidrs }}
  set_real_ip_from {{ . }};
  {{- end }}
  real_ip_header X-Forwarded-For;
  real_ip_recursive on;
  map $trusted:$http_x_forwarded_proto $forwarded_proto {
    default {{ urlParse (include "odoo.baseUrl" .) | dig "scheme" "" | default "http" }};
    1:http http;
    1:https https;
  }
  map $trusted:$http_x_forwarded_host $forwarded_host {
    default $http_host;
    "~^1:(?<told>.+)$" $told;
  }
  map $http_upgrade $upgrade {
    default "";
    "~*^websocket$" websocket;
  }
  map $upgrade $connection_header {
    default upgrade;
    "" close;
  }
  proxy_http_version 1.1;
  proxy_set_header Host $http_host;
  proxy_set_header X-Forwarded-For $remote_addr;
  proxy_set_header X-Forwarded-Host $forwarded_host;
  proxy_set_header X-Forwarded-Proto $forwarded_proto;
  proxy_set_header X-Real-IP $remote_addr;
  {{- range list "Forwarded" "X-Client-IP" "X-Forwarded-Port" "X-Forwarded-Prefix" "X-Forwarded-Scheme" "X-Forwarded-Server" "X-Forwarded-Ssl" "X-Scheme" "Proxy" }}
  proxy_set_header {{ . }} "";
  {{- end }}
  # All of them here: a location that sets one inherits none.
  proxy_set_header Upgrade $upgrade;
  proxy_set_header Connection $connection_header;
  proxy_redirect off;
  proxy_connect_timeout 10s;
  proxy_read_timeout {{ $proxy.timeoutSeconds }}s;
  proxy_send_timeout {{ $proxy.timeoutSeconds }}s;
  proxy_buffer_size 16k;
  proxy_buffers 8 16k;
  client_max_body_size {{ $proxy.bodySize }};
  gzip on;
  gzip_vary on;
  gzip_proxied any;
  gzip_min_length 1024;
  gzip_types text/css text/plain text/xml application/javascript text/javascript application/json application/xml image/svg+xml;
  server {
    listen 8080;
    include /tmp/listen*.conf;
    location = /odoofleet/proxy {
      default_type text/plain;
      return 200 "ok\n";
    }
    # Odoo takes a language before any path.
    location ~ ^(?:/[^/]+)?/web/database(?:/|$) { return 404; }
    location ~ ^(?:/[^/]+)?/xmlrpc(?:/2)?/db/?$ { return 404; }
    location {{ include "odoo.socket" . }} {
      proxy_buffering off;
      proxy_pass http://127.0.0.1:{{ ternary 8072 8069 (gt (int (include "odoo.effective" . | fromYaml).workers) 0) }};
    }
    location / {
      proxy_pass http://127.0.0.1:8069;
    }
  }
}
{{- end }}

{{/* The container. */}}
{{- define "odoo.proxy" -}}
- name: proxy
  {{- include "odoo.image" (list . .Values.proxy.image "stable") | nindent 2 }}
  command: {{- include "odoo.nginxCommand" (list 8080) | nindent 4 }}
  ports:
    - {name: http, containerPort: 8080}
  securityContext: {{- include "odoo.containerSecurity" . | nindent 4 }}
    runAsUser: 101
  {{- $resources := .Values.proxy.resources | default (dict "requests" (dict "cpu" "20m" "memory" "32Mi") "limits" (dict "memory" "128Mi")) }}
  resources: {{- include "odoo.resources" (list . $resources) | nindent 4 }}
  livenessProbe:
    httpGet: {path: /odoofleet/proxy, port: http}
    periodSeconds: 20
    timeoutSeconds: 5
    failureThreshold: 6
  readinessProbe:
    httpGet: {path: /odoofleet/proxy, port: http}
    timeoutSeconds: 5
  volumeMounts:
    - {name: config, mountPath: /etc/odoofleet, readOnly: true}
    - {name: tmp, mountPath: /tmp, subPath: proxy}
{{- end }}

{{/*
Not the image's entrypoint, which writes into its own configuration. It listens on IPv6 where the pod has some: on a node without, a
socket of it would end nginx. Arguments: ports.
*/}}
{{- define "odoo.nginxCommand" -}}
- sh
- -c
- |
  if { read -r _ </proc/net/if_inet6; } 2>/dev/null; then
    for port in "$@"; do echo "listen [::]:$port;"; done >/tmp/listen.conf
  fi
  exec nginx -e stderr -c /etc/odoofleet/nginx.conf -g 'daemon off;'
- nginx
{{- range . }}
- {{ . | quote }}
{{- end }}
{{- end }}
