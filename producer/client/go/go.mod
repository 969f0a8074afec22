module github.com/fusionai/sdk-go

go 1.19
