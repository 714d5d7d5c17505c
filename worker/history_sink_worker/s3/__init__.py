"""S3 by boto3: runs the requests of `store`."""
