{{/*
Name of the DaskJob or DaskCluster, and so of all that the operator makes of it. The operator runs a job once and ignores
later changes, so a job's name counts the release's revisions: `helm upgrade` runs it again, on the same store.
*/}}
{{- define "dmontage.name" -}}
{{- $name := .Release.Name -}}
{{- if eq .Values.mode "job" -}}
{{- $name = printf "%s-%d" .Release.Name (int .Release.Revision) -}}
{{- end -}}
{{- if not (regexMatch "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$" $name) -}}
{{- fail (printf "the release's name makes %q of a cluster: the operator takes lower case letters, digits and '-' only" $name) -}}
{{- end -}}
{{- if gt (len $name) 53 -}}
{{- fail (printf "the release's name makes %q of a cluster, %d characters: the operator takes 53 at most" $name (len $name)) -}}
{{- end -}}
{{- $name -}}
{{- end -}}

{{- define "dmontage.address" -}}
tcp://{{ include "dmontage.name" . }}-scheduler:8786
{{- end -}}

{{- define "dmontage.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "dmontage.labels" -}}
{{ include "dmontage.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "dmontage.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (ternary .Release.Name "default" .Values.serviceAccount.create) -}}
{{- end -}}

{{/*
What all containers have in common. Given the root and whether it touches images: the scheduler holds task names and
addresses only, and gets no keys.
*/}}
{{- define "dmontage.container" -}}
{{- $ := index . 0 -}}
{{- $store := index . 1 -}}
image: {{ printf "%s:%s" $.Values.image.repository ($.Values.image.tag | default $.Chart.AppVersion) | quote }}
imagePullPolicy: {{ $.Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
env:
  - name: DASK_SCHEDULER_ADDRESS
    value: {{ include "dmontage.address" $ }}
  {{- if $.Values.daskConfig }}
  - name: DASK_CONFIG
    value: /etc/dask-values
  {{- end }}
  {{- if $store }}
  {{- with $.Values.objectStore.endpoint }}
  - name: AWS_ENDPOINT_URL
    value: {{ . | quote }}
  {{- end }}
  {{- with $.Values.objectStore.region }}
  - name: AWS_REGION
    value: {{ . | quote }}
  {{- end }}
{{- with $.Values.objectStore.existingSecret }}
envFrom:
  - secretRef:
      name: {{ . }}
{{- end }}
  {{- end }}
volumeMounts:
  - name: tmp
    mountPath: /tmp
  {{- if $.Values.daskConfig }}
  - name: dask-config
    mountPath: /etc/dask-values
    readOnly: true
  {{- end }}
  {{- if and $store $.Values.data.existingClaim }}
  - name: data
    mountPath: {{ $.Values.data.mountPath }}
  {{- end }}
{{- end -}}

{{/* Memory is requested and limited by one number, so that a pod is never killed for what its neighbours take. */}}
{{- define "dmontage.resources" -}}
requests:
  cpu: {{ .cpu | quote }}
  memory: {{ .memory }}
limits:
  memory: {{ .memory }}
{{- end -}}

{{/* What all pods have in common. Given the root, the values of that pod, and whether it touches images. */}}
{{- define "dmontage.pod" -}}
{{- $ := index . 0 -}}
{{- $pod := index . 1 -}}
{{- $store := index . 2 -}}
serviceAccountName: {{ include "dmontage.serviceAccount" $ }}
automountServiceAccountToken: false
# Else a Service called "dask" would set DASK_PORT, which Dask takes for its configuration.
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- with $.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with $pod.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $pod.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumes:
  - name: tmp
    emptyDir:
      sizeLimit: {{ $pod.tmpSize | default $.Values.tmpSize }}
  {{- if $.Values.daskConfig }}
  - name: dask-config
    configMap:
      name: {{ $.Release.Name }}-dask
  {{- end }}
  {{- if and $store $.Values.data.existingClaim }}
  - name: data
    persistentVolumeClaim:
      claimName: {{ $.Values.data.existingClaim }}
  {{- end }}
{{- end -}}
