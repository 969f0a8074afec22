{{/* Parts of all pods. A process is named by a dict: root ($), name (web, worker-all …), bare: without the catalogue. */}}

{{/* 63 letters at most: names become labels. */}}
{{- define "fusionai.name" -}}
{{- printf "%s-%s" (.root.Release.Name | trunc 30 | trimSuffix "-") .name | trunc 63 | trimSuffix "-" -}}
{{- end }}

{{- define "fusionai.selector" -}}
app.kubernetes.io/name: fusionai
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .name }}
{{- end }}

{{- define "fusionai.labels" -}}
{{ include "fusionai.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{- define "fusionai.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end -}}
{{- end }}

{{- define "fusionai.pod" -}}
automountServiceAccountToken: false
# Else a Service named fusionai would set FUSIONAI_PORT to its address.
enableServiceLinks: false
terminationGracePeriodSeconds: {{ add .root.Values.drainSeconds .root.Values.graceSeconds }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  # Else the owner of every file of a claim is looked at each time that a pod starts.
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: { type: RuntimeDefault }
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets: {{ toJson . }}
{{- end }}
{{- with .root.Values.nodeSelector }}
nodeSelector: {{ toJson . }}
{{- end }}
{{- with .root.Values.tolerations }}
tolerations: {{ toJson . }}
{{- end }}
# Over zones and over nodes, so that the loss of one takes but its share.
topologySpreadConstraints:
{{- $process := . }}
{{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "fusionai.selector" $process | nindent 8 }}
{{- end }}
volumes:
  - name: tmp
    emptyDir: { sizeLimit: {{ .root.Values.tmpSize | quote }} }
{{- if .root.Values.files.existingClaim }}
  - name: files
    persistentVolumeClaim: { claimName: {{ .root.Values.files.existingClaim | quote }} }
{{- end }}
{{- if and .root.Values.catalogue (not .bare) }}
  - name: catalogue
    configMap: { name: {{ include "fusionai.name" (dict "root" .root "name" "catalogue") }} }
{{- end }}
{{- end }}

{{/* Of a container: also `env`, a map of more variables. */}}
{{- define "fusionai.container" -}}
image: {{ include "fusionai.image" .root | quote }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: { drop: [ALL] }
envFrom:
  - secretRef: { name: {{ .root.Values.existingSecret | quote }} }
env:
{{- $own := dict "FUSIONAI_DRAIN_SECONDS" (toString .root.Values.drainSeconds) "FUSIONAI_PORT" "8000" "FUSIONAI_METRICS_PORT" (toString .root.Values.metrics.port) "FUSIONAI_STOP_NOTICE_SECONDS" (toString .root.Values.stopNoticeSeconds) }}
{{- if .root.Values.files.existingClaim }}
{{- $_ := set $own "FUSIONAI_FILES_URL" "file:///var/lib/fusionai/files" }}
{{- end }}
{{- if and .root.Values.catalogue (not .bare) }}
{{- $_ := set $own "FUSIONAI_CATALOGUE" "/etc/fusionai/catalogue.toml" }}
{{- end }}
{{- range $name, $value := merge (dict) (.env | default (dict)) $own .root.Values.settings }}
  - { name: {{ $name }}, value: {{ $value | quote }} }
{{- end }}
volumeMounts:
  - { name: tmp, mountPath: /tmp }
{{- if .root.Values.files.existingClaim }}
  - { name: files, mountPath: /var/lib/fusionai }
{{- end }}
{{- if and .root.Values.catalogue (not .bare) }}
  - { name: catalogue, mountPath: /etc/fusionai, readOnly: true }
{{- end }}
{{- end }}

{{/* A Deployment of a process without a port: also `command`, `replicas` (or none), `resources`. */}}
{{- define "fusionai.deployment" -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "fusionai.name" . }}
  labels: {{- include "fusionai.labels" . | nindent 4 }}
spec:
{{- if hasKey . "replicas" }}
  replicas: {{ .replicas }}
{{- end }}
  revisionHistoryLimit: 3
  selector:
    matchLabels: {{- include "fusionai.selector" . | nindent 6 }}
  template:
    metadata:
      labels: {{- include "fusionai.labels" . | nindent 8 }}
{{- with .root.Values.podAnnotations }}
      annotations: {{ toJson . }}
{{- end }}
    spec:
      {{- include "fusionai.pod" . | nindent 6 }}
      containers:
        - name: {{ .container }}
          command: {{ toJson .command }}
          {{- include "fusionai.container" . | nindent 10 }}
          resources: {{ toJson .resources }}
{{- end }}

{{/* So that a node that is emptied takes one of them at a time. */}}
{{- define "fusionai.disruption" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "fusionai.name" . }}
  labels: {{- include "fusionai.labels" . | nindent 4 }}
spec:
  maxUnavailable: 1
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels: {{- include "fusionai.selector" . | nindent 6 }}
{{- end }}
