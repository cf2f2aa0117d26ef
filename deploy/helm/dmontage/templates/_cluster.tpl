{{/* The spec of a DaskCluster, which a DaskJob contains too. */}}
{{- define "dmontage.cluster" -}}
scheduler:
  metadata:
    annotations:
      # All that runs is lost with it.
      cluster-autoscaler.kubernetes.io/safe-to-evict: "false"
  spec:
    {{- include "dmontage.pod" (list . .Values.scheduler false) | nindent 4 }}
    containers:
      - name: scheduler
        args: [dask, scheduler]
        ports:
          - name: tcp-comm
            containerPort: 8786
          - name: http-dashboard
            containerPort: 8787
        readinessProbe:
          httpGet:
            path: /health
            port: http-dashboard
          periodSeconds: 5
        livenessProbe:
          httpGet:
            path: /health
            port: http-dashboard
          initialDelaySeconds: 15
          periodSeconds: 20
          timeoutSeconds: 10
        resources:
          {{- include "dmontage.resources" .Values.scheduler | nindent 10 }}
        {{- include "dmontage.container" (list . false) | nindent 8 }}
  # Whoever reaches it can run any code on the workers: inside the cluster only, and `kubectl port-forward` for people.
  service:
    type: ClusterIP
    selector:
      dask.org/cluster-name: {{ include "dmontage.name" . }}
      dask.org/component: scheduler
    ports:
      - name: tcp-comm
        protocol: TCP
        port: 8786
        targetPort: tcp-comm
      - name: http-dashboard
        protocol: TCP
        port: 8787
        targetPort: http-dashboard
worker:
  replicas: {{ .Values.worker.replicas }}
  spec:
    {{- include "dmontage.pod" (list . .Values.worker true) | nindent 4 }}
    containers:
      - name: worker
        args:
          - dask
          - worker
          # The operator retires workers by this name, and sets the variable.
          - --name
          - $(DASK_WORKER_NAME)
          - --nthreads
          - "1"
          - --memory-limit
          - {{ .Values.worker.memory | quote }}
          # One process a container: what the kernel kills, the kubelet starts again, and nothing else takes of its memory.
          - --no-nanny
          # Without a scheduler it ends, and is started again.
          - --death-timeout
          - "60"
          - --dashboard-address
          - ":8788"
        ports:
          - name: http-dashboard
            containerPort: 8788
        livenessProbe:
          httpGet:
            path: /health
            port: http-dashboard
          initialDelaySeconds: 60
          periodSeconds: 20
          timeoutSeconds: 10
          failureThreshold: 15
        resources:
          {{- include "dmontage.resources" .Values.worker | nindent 10 }}
        {{- include "dmontage.container" (list . true) | nindent 8 }}
{{- end -}}
