{{- /* What several templates say: names, labels, the image. */}}

{{- define "pierhead.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "pierhead.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else if contains (include "pierhead.name" .) .Release.Name }}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "pierhead.name" .) | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "pierhead.selectorLabels" -}}
app.kubernetes.io/name: {{ include "pierhead.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "pierhead.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name (.Chart.Version | replace "+" "_") }}
{{ include "pierhead.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "pierhead.allocator.selectorLabels" -}}
{{ include "pierhead.selectorLabels" . }}
app.kubernetes.io/component: allocator
{{- end }}

{{- define "pierhead.allocator.name" -}}
{{ include "pierhead.fullname" . }}-allocator
{{- end }}

{{- define "pierhead.allocator.serviceAccountName" -}}
{{- if .Values.allocator.serviceAccount.create }}
{{- default (include "pierhead.allocator.name" .) .Values.allocator.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.allocator.serviceAccount.name }}
{{- end }}
{{- end }}

{{- /* The hosts' ServiceAccounts and Secrets: part of every host's user name, so it cannot be chosen. */}}
{{- define "pierhead.hosts.namespace" -}}
pierhead-hosts
{{- end }}

{{- /* Where operators' manifests of MetalLB's kinds are read, as a list in YAML. */}}
{{- define "pierhead.configurationNamespaces" -}}
{{- default (list "metallb-system" .Release.Namespace) .Values.allocator.configurationNamespaces | uniq | toYaml }}
{{- end }}

{{- /* Whether an object that is there, of (list ROOT OBJECT), is this release's; empty where it is not. */}}
{{- define "pierhead.isOurs" -}}
{{- $release := (index . 0).Release }}
{{- $annotations := index . 1 | dig "metadata" "annotations" dict }}
{{- if and (eq (get $annotations "meta.helm.sh/release-name") $release.Name) (eq (get $annotations "meta.helm.sh/release-namespace") $release.Namespace) }}yes{{ end }}
{{- end }}

{{- define "pierhead.image" -}}
{{- with .Values.allocator.image }}{{ .repository }}:{{ default $.Chart.AppVersion .tag }}{{ end }}
{{- end }}

{{- /* The fields that a PodMonitor's and a ServiceMonitor's values have in common, those that are set. */}}
{{- define "pierhead.scraping" -}}
{{- $fields := dict }}
{{- range $name := list "interval" "metricRelabelings" "relabelings" }}
{{- with get $ $name }}{{ $_ := set $fields $name . }}{{ end }}
{{- end }}
{{- with $fields }}{{ toYaml . }}{{ end }}
{{- end }}

{{- /* A host to scrape, of (list TARGET PORT): the target with the port where it has none of its own. */}}
{{- define "pierhead.hosts.target" -}}
{{- $target := index . 0 }}
{{- $port := index . 1 }}
{{- if regexMatch "^(\\[.*\\]|[^:]*):[0-9]+$" $target }}{{ $target }}
{{- else if regexMatch "^[^\\[].*:.*:" $target }}[{{ $target }}]:{{ $port }}
{{- else }}{{ $target }}:{{ $port }}
{{- end }}
{{- end }}

{{- /* Labels as a selector's text. */}}
{{- define "pierhead.hosts.selector" -}}
{{- $terms := list }}
{{- range $label, $value := . }}{{ $terms = append $terms (printf "%s=%s" $label $value) }}{{ end }}
{{- join "," $terms }}
{{- end }}
